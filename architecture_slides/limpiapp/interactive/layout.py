"""Where everything stands on the page's picture: as on the slide's, but higher, for the names of products.

What the numbers and the colours stand for, and the band, are below, where no slide limits them.
"""

from __future__ import annotations

from math import ceil

from architecture_slides.limpiapp.architecture import Architecture, Lane, Route, Spot
from architecture_slides.limpiapp.picture import LETTERS, SIGN
from architecture_slides.typesetting.deck import LEFT, RIGHT, WIDE, text_width

STRETCH = 1.35
"""How much higher it is than the slide's: below the name of an element there is room for two lines."""

EDGE, MARGIN, GAP = 3, 6, 6
"""Around the picture, around its parts, and between the elements of the band."""

TALLER = {"compute": (14, 0), "cdc": (0, 10)}
"""How much higher still a box is, above and below, for the longest name of a product."""

KEY, LEGEND, HEAD, HIGH = 16, 18, 16, 41
"""Heights: of a row of what numbers stand for, of the legend, above the elements of the band, of these."""

ROWS = 2
"""Of what numbers stand for."""

Point = tuple[float, float]


class Layout:
    """The picture's boxes and lines, in units of the page: a slide's points, stretched."""

    def __init__(self, of: Architecture) -> None:
        self.of = of.picture
        self.ways = {name: [_stretched(*point) for point in way] for name, way in self.of.ways.items()}
        self.spots = {
            name: Spot(x=each.x, y=each.y * STRETCH - above, w=each.w, h=each.h * STRETCH + above + below)
            for name, each in self.of.spots.items()
            for above, below in [TALLER.get(name, (0, 0))]
        }
        self._beside = MARGIN + max(self.spots[each.id].x + self.spots[each.id].w for each in of.sources)
        lanes = [(lane.y + lane.h) * STRETCH for lane in self.of.lanes]
        self._low = max(*lanes, *(y for way in self.ways.values() for _, y in way))
        names = self.of.band
        wide = (WIDE - 2 * GAP - GAP * (len(names) - 1)) / len(names)
        self.spots |= {
            name: Spot(x=LEFT + GAP + place * (wide + GAP), y=self._band_top + HEAD, w=wide, h=HIGH)
            for place, name in enumerate(names)
        }

    @property
    def _band_top(self) -> float:
        return self.legend + LEGEND / 2 + MARGIN

    @property
    def view(self) -> list[float]:
        """The whole of it: left, top, width, height."""
        points = [point for way in self.ways.values() for point in way]
        left = min(LEFT, *(x for x, _ in points)) - EDGE
        top = min(*(y for _, y in points), *(lane.y * STRETCH for lane in self.of.lanes)) - EDGE
        return [left, top, RIGHT + EDGE - left, self._band_top + HEAD + HIGH + GAP + EDGE - top]

    def lane(self, lane: Lane) -> list[float]:
        """The box of a lane, beside the sources."""
        return [self._beside, lane.y * STRETCH, RIGHT - self._beside, lane.h * STRETCH]

    def name(self, lane: Lane) -> Point:
        """The middle of the right end of its name."""
        return RIGHT - 2 * MARGIN, lane.at[1] * STRETCH + 2 * MARGIN

    @property
    def legend(self) -> float:
        """The middle of the legend, below what the numbers stand for."""
        return self._low + MARGIN + ROWS * KEY + MARGIN / 2 + LEGEND / 2

    @property
    def band(self) -> list[float]:
        """Below all of it."""
        return [LEFT, self._band_top, WIDE, HEAD + HIGH + GAP]

    def box(self, node: str) -> list[float]:
        """The box of a source or an element."""
        spot = self.spots[node]
        return [spot.x, spot.y, spot.w, spot.h]

    def number(self, route: Route) -> Point:
        """The middle of a route's number."""
        x, y = route.at
        return _stretched(x + text_width(str(route.number), LETTERS) / 2, y + SIGN / 2)

    def key(self, place: int) -> Point:
        """The left end of the middle of what a number stands for, of those in order."""
        row, column = divmod(place, columns := ceil(len(self.of.routes) / ROWS))
        return LEFT + column * WIDE / columns, self._low + MARGIN + (row + 0.5) * KEY


def _stretched(x: float, y: float) -> Point:
    return x, y * STRETCH
