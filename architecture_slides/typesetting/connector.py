"""Lines of a presentation: one connector each where PowerPoint has one with such corners, else a freeform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Pt

from architecture_slides.typesetting.deck import Box
from architecture_slides.typesetting.paint import solid

Point = tuple[float, float]

Site = tuple[int, float]
"""A side of a box, and how far along it, 0 to 1."""

MIDDLES: tuple[Site, ...] = tuple((side, 0.5) for side in range(4))
"""Where lines are glued to a preset rectangle: on top, left, below, right."""

RADIUS = 3
"""Of the corners of a box with words, in points; bars and marks have none."""

MOST = 5
"""Segments of PowerPoint's connector with the most corners."""

LEAST = 0.1
"""Width and height of a connector with corners, at least, in points: corners are told in shares of these."""

NEAR = 1.0
"""How far from a box's side a line still touches it, in points."""


@dataclass(frozen=True)
class Bent:
    """A preset shape: its box, which is flipped, then turned clockwise; corners are shares of the box."""

    name: str
    x: float
    y: float
    w: float
    h: float
    turned: bool
    flipped: tuple[bool, bool]
    shares: tuple[float, ...]

    @property
    def xml(self) -> str:
        """What stands for it in a shape's properties."""
        attributes = "".join(
            f' {name}="{value}"'
            for name, value in (
                ("rot", 5_400_000 * self.turned),
                ("flipH", int(self.flipped[0])),
                ("flipV", int(self.flipped[1])),
            )
            if value
        )
        guides = "".join(
            f'<a:gd name="adj{place}" fmla="val {round(100_000 * share)}"/>'
            for place, share in enumerate(self.shares, 1)
        )
        return (
            f'<a:xfrm{attributes}><a:off x="{Pt(self.x)}" y="{Pt(self.y)}"/>'
            f'<a:ext cx="{Pt(self.w)}" cy="{Pt(self.h)}"/></a:xfrm>'
            f'<a:prstGeom prst="{self.name}"><a:avLst>{guides}</a:avLst></a:prstGeom>'
        )


def bent(points: Sequence[Point]) -> Bent | None:
    """The preset that goes through these points; none where corners are not right or too many."""
    points = _corners(points)
    level = [one[1] == other[1] for one, other in pairwise(points)]
    upright = [one[0] == other[0] for one, other in pairwise(points)]
    straight = len(level) == 1
    if not straight and (
        len(level) > MOST or not all(one != other for one, other in zip(level, upright, strict=True))
    ):
        return None
    # Presets begin level: one that does not is drawn so, and turned clockwise.
    turned = not straight and upright[0]
    drawn = [(y, -x) if turned else (x, y) for x, y in points]
    (x0, y0), (x1, y1) = drawn[0], drawn[-1]
    least = 0 if straight else LEAST
    wide, high = (
        -max(before - after, least) if after < before else max(after - before, least)
        for before, after in ((x0, x1), (y0, y1))
    )
    shares = tuple(
        (x - x0) / wide if place % 2 else (y - y0) / high for place, (x, y) in enumerate(drawn[1:-2], 1)
    )
    if not all(0 <= share <= 1 for share in shares):
        # A loop: PowerPoint draws it, LibreOffice draws another one.
        return None
    middle = (x0 + wide / 2, y0 + high / 2)
    x, y = (-middle[1], middle[0]) if turned else middle
    w, h = abs(wide), abs(high)
    name = "straightConnector1" if straight else f"bentConnector{len(level)}"
    return Bent(name, x - w / 2, y - h / 2, w, h, turned, (wide < 0, high < 0), shares)


def connector(
    points: Sequence[Point], colour: str, width: float, *, headed: bool, boxes: Sequence[Box] = ()
) -> Any:
    """A connector, or a freeform, as an element without id and name.

    LibreOffice draws connectors with corners anew, and elsewhere, unless they begin and end in the middle of
    the sides of these boxes; `colour` is `#rrggbb`.
    """
    head = '<a:tailEnd type="triangle" w="med" len="med"/>' if headed else ""
    stroke = (
        f'<a:ln w="{Pt(width)}">{solid(colour)}<a:prstDash val="solid"/><a:miter lim="800000"/>{head}</a:ln>'
    )
    shape = bent(points)
    moved = len(_corners(points)) > 2 and any(  # noqa: PLR2004 - a line without corners
        not _is_middle(boxes[place], site) for _, place, site in _touched(points, boxes)
    )
    if shape and not moved:
        return parse_xml(
            f'<p:cxnSp {nsdecls("p", "a")}><p:nvCxnSpPr><p:cNvPr id="0" name=""/><p:cNvCxnSpPr/><p:nvPr/>'
            f"</p:nvCxnSpPr><p:spPr>{shape.xml}{stroke}</p:spPr></p:cxnSp>"
        )
    left, top = min(x for x, _ in points), min(y for _, y in points)
    wide, high = Pt(max(x for x, _ in points) - left), Pt(max(y for _, y in points) - top)
    begun, *others = (f'<a:pt x="{Pt(x - left)}" y="{Pt(y - top)}"/>' for x, y in points)
    path = f"<a:moveTo>{begun}</a:moveTo>" + "".join(f"<a:lnTo>{other}</a:lnTo>" for other in others)
    return parse_xml(
        f'<p:sp {nsdecls("p", "a")}><p:nvSpPr><p:cNvPr id="0" name=""/><p:cNvSpPr/><p:nvPr/></p:nvSpPr>'
        f'<p:spPr><a:xfrm><a:off x="{Pt(left)}" y="{Pt(top)}"/><a:ext cx="{wide}" cy="{high}"/></a:xfrm>'
        '<a:custGeom><a:avLst/><a:gdLst/><a:ahLst/><a:cxnLst/><a:rect l="0" t="0" r="r" b="b"/><a:pathLst>'
        f'<a:path w="{wide}" h="{high}" fill="none">{path}</a:path></a:pathLst></a:custGeom>'
        f"<a:noFill/>{stroke}</p:spPr></p:sp>"
    )


def fasten(arrows: Iterable[tuple[Sequence[Point], Any]], boxes: Sequence[tuple[Box, Any]]) -> None:
    """Glue arrows to the boxes that they touch, so that they follow these.

    A preset rectangle can be glued to in the middle of a side only; one that is touched elsewhere becomes a
    shape of the same look with sites there, so that no arrow moves when its box does.

    Args:
        arrows: where each goes, and its connector; a freeform can't be glued.
        boxes: what arrows may touch, each with its shape.
    """
    plain = [box for box, _ in boxes]
    sites: list[list[Site]] = [[] for _ in boxes]
    for points, line in arrows:
        if not line.tag.endswith("cxnSp"):
            continue
        names = []
        for element, place, site in _touched(points, plain):
            if site not in sites[place]:
                sites[place].append(site)
            box, shape = boxes[place]
            names.append(shape.name)
            index = _indices(box, sites[place])[site]
            glue = f'<a:{element} {nsdecls("a")} id="{shape.shape_id}" idx="{index}"/>'
            line.nvCxnSpPr.cNvCxnSpPr.append(parse_xml(glue))
        if names:
            line.nvCxnSpPr.cNvPr.set("name", " → ".join(names))
    for (box, shape), placed in zip(boxes, sites, strict=True):
        if not all(_is_middle(box, site) for site in placed):
            (stale,) = shape._element.spPr.xpath("a:prstGeom")
            shape._element.spPr.replace(stale, parse_xml(_with_sites(box, placed)))


def _touched(points: Sequence[Point], boxes: Sequence[Box]) -> Iterator[tuple[str, int, Site]]:
    """Of each end that touches boxes, its name, the place of the smallest of them, and where it does."""
    for element, end, before in (("stCxn", points[0], points[1]), ("endCxn", points[-1], points[-2])):
        found = [
            (box.w * box.h, place, site)
            for place, box in enumerate(boxes)
            if (site := _site(box, end, before)) is not None
        ]
        if found:
            _, place, site = min(found)
            yield element, place, site


def rounded(w: float, h: float) -> str:
    """The XML of a box of that width and height, in points, with the corners of one with words."""
    guide = f'<a:gd name="adj" fmla="val {round(100_000 * min(0.5, RADIUS / min(w, h)))}"/>'
    return f'<a:prstGeom {nsdecls("a")} prst="roundRect"><a:avLst>{guide}</a:avLst></a:prstGeom>'


def _site(box: Box, end: Point, before: Point) -> Site | None:
    """Where a line's end touches a box: the side, counterclockwise from the top, and how far along it."""
    x, y = end
    aways = (abs(y - box.y), abs(x - box.x), abs(y - box.y - box.h), abs(x - box.x - box.w))
    near = [side for side, away in enumerate(aways) if away <= NEAR]
    inside = box.x - NEAR <= x <= box.x + box.w + NEAR and box.y - NEAR <= y <= box.y + box.h + NEAR
    if not inside or not near:
        return None
    # At a corner it is the side that the line meets at a right angle.
    upright = abs(x - before[0]) < abs(y - before[1])
    side = min(near, key=lambda side: (side % 2 == upright, aways[side]))
    along = (y - box.y) / box.h if side % 2 else (x - box.x) / box.w
    return side, round(min(1, max(0, along)), 4)


def _is_middle(box: Box, site: Site) -> bool:
    side, along = site
    return abs(along - 0.5) * (box.h if side % 2 else box.w) <= NEAR / 2


def _indices(box: Box, sites: Sequence[Site]) -> dict[Site, int]:
    """What PowerPoint counts the sites of a box by: first the middles of its sides."""
    others = [site for site in sites if not _is_middle(box, site)]
    return {site: len(MIDDLES) + others.index(site) if site in others else site[0] for site in sites}


def _with_sites(box: Box, sites: Sequence[Site]) -> str:
    """The XML of a box that can be glued to at these sites too."""
    w, h, r = Pt(box.w), Pt(box.h), Pt(min(RADIUS * bool(box.head + box.text), box.w / 2, box.h / 2))
    placed = [*MIDDLES, *(site for site in sites if not _is_middle(box, site))]
    guides, points = "", ""
    for place, (side, along) in enumerate(placed):
        x, y = ((along, 0), (0, along), (along, 1), (1, along))[side]
        guides += f'<a:gd name="x{place}" fmla="*/ {round(x * w)} w {w}"/>'
        guides += f'<a:gd name="y{place}" fmla="*/ {round(y * h)} h {h}"/>'
        # Where a line leaves to: up, left, down, right.
        points += (
            f'<a:cxn ang="{(270, 180, 90, 0)[side] * 60_000}"><a:pos x="x{place}" y="y{place}"/></a:cxn>'
        )
    path = f'<a:moveTo><a:pt x="0" y="{r}"/></a:moveTo>'
    for turn, (x, y) in zip((180, 270, 0, 90), ((w - r, 0), (w, h - r), (r, h), (0, r)), strict=True):
        if r:
            path += f'<a:arcTo wR="{r}" hR="{r}" stAng="{turn * 60_000}" swAng="5400000"/>'
        path += f'<a:lnTo><a:pt x="{x}" y="{y}"/></a:lnTo>'
    return (
        f"<a:custGeom {nsdecls('a')}><a:avLst/><a:gdLst>{guides}</a:gdLst><a:ahLst/>"
        f'<a:cxnLst>{points}</a:cxnLst><a:rect l="0" t="0" r="r" b="b"/>'
        f'<a:pathLst><a:path w="{w}" h="{h}">{path}<a:close/></a:path></a:pathLst></a:custGeom>'
    )


def _corners(points: Iterable[Point]) -> list[Point]:
    """The points without those at which the line goes straight on."""
    kept: list[Point] = []
    for point in points:
        if len(kept) > 1:
            (ax, ay), (bx, by), (cx, cy) = kept[-2], kept[-1], point
            if (ax == bx == cx and (by - ay) * (cy - by) > 0) or (
                ay == by == cy and (bx - ax) * (cx - bx) > 0
            ):
                kept.pop()
        if point not in kept[-1:]:
            kept.append(point)
    return kept
