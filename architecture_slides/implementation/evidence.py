"""What the implementation's deck shows of its measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from architecture_slides.implementation.cards import (
    AGAINST,
    CLOSE,
    LETTERS,
    OURS,
    UNDECIDED,
    keys,
)
from architecture_slides.implementation.measured import C8, Measured
from architecture_slides.typesetting.chart import chart
from architecture_slides.typesetting.deck import (
    DARK,
    INK,
    LABEL,
    LEFT,
    LINE,
    PALE,
    RIGHT,
    TOP,
    WIDE,
    Axis,
    Box,
    Drawing,
    Guide,
    Item,
    Line,
    Shape,
)
from load_tests.report.aims import C1, C32, Aim, fastest
from load_tests.report.figures import COMPILED, MODEL_SERVERS, NAIVE, PIPELINE, SAME_MODEL, THIS

SQUARE = 590.0
"""Where the notes stand beside a plot that is nearly square, in points from the left."""

QUIET = "#7d8b98"
"""Colour of lines beneath what was measured."""

QUARTER = 0.25
"""Percents below it have a decimal."""

CONNECTIONS = {C1: "one", C8: "eight", C32: "thirty_two"}
"""The word for the connections of a cell."""

POWERS = {0.01: 2, 0.1: 1, 1: 0, 10: 0, 100: 0}
"""Milliseconds on an axis, and their decimals."""


def performance(measured: Measured) -> list[Sequence[Item]]:
    """How many times what others answer, from the worst round to the best, by what both serve."""
    comparison, words = measured.comparison, measured.words
    peers = [peer for _, peer in COMPILED.values() if peer != SAME_MODEL]
    best = fastest(comparison, peers, C32)
    groups = {
        "same_model": [(THIS, SAME_MODEL, C32), (THIS, SAME_MODEL, C1), (THIS, best, C32)],
        "same_pickle": [
            (PIPELINE, NAIVE, C32),
            (PIPELINE, NAIVE, C1),
            (PIPELINE, fastest(comparison, MODEL_SERVERS, C32), C32),
            (PIPELINE, fastest(comparison, MODEL_SERVERS, C8), C8),
        ],
        "compiling": [(THIS, PIPELINE, C32)],
        "both": [(THIS, measured.server, C32), (THIS, NAIVE, C32)],
    }
    found = {pair: comparison.ratios(*pair) for pairs in groups.values() for pair in pairs}
    ends = (min(map(min, found.values())), max(map(max, found.values())))
    low, high = math.floor(math.log2(ends[0])), math.ceil(math.log2(ends[1]))
    axis = Axis(
        words["times"],
        {2.0**each: measured.number(2.0**each, max(0, -each)) for each in range(low, high + 1)},
        log=True,
    )
    # What the title speaks of.
    stressed = {pairs[0] for name, pairs in groups.items() if name in ("same_model", "compiling")}
    stressed |= {pair for pair in found if pair[2] == C1 or pair[2] == C8}
    edge, x, wide, pitch, y = LEFT - LABEL[0], 446, 340, 30, float(TOP)
    items: list[Shape] = []
    ticks: list[Shape] = []
    for group, pairs in groups.items():
        items.append(Box(edge, y + 2, 170, 48, words[group], size=LETTERS))
        for pair in pairs:
            ratios, middle = found[pair], comparison.ratio(*pair)
            colour = OURS if min(ratios) > 1 else AGAINST if max(ratios) < 1 else UNDECIDED
            left, at, right = (x + wide * axis.share(each) for each in (min(ratios), middle, max(ratios)))
            other = pair[1].partition(",")[0]
            name = words["own_pickle"] if pair[1] == PIPELINE else other
            told = f"{name}, {words[CONNECTIONS[pair[2]]]}"
            bold, ink = pair in stressed, INK if pair in stressed else LINE
            ratio = f"{measured.ratio(middle)}×"
            items += [
                Box(206, y + 2, 236, 24, told * bold, told * (not bold), LETTERS, None, ink),
                Box(left, y + 11, right - left, 6, fill=colour),
                Box(at - 5, y + 5, 10, 18, fill=colour),
                Box(x + wide + 4, y + 2, 48, 24, ratio * bold, ratio * (not bold), LETTERS, None, ink),
                Box(x + wide + 50, y + 2, 92, 24, "", measured.range(ratios), LETTERS, None, ink),
            ]
            y += pitch
        y += 9
        items.append(Line(((LEFT, y - 6), (RIGHT, y - 6)), PALE, 1))
    bottom = y - 6
    for value, told in axis.ticks.items():
        at = x + wide * axis.share(value)
        ticks.append(Line(((at, TOP), (at, bottom)), DARK if value == 1 else PALE, 3 if value == 1 else 1))
        ticks.append(Box(at - 24, bottom + 2, 48, 20, text=told, size=LETTERS, align="center"))
    ticks.append(Box(x - 120, bottom + 22, wide + 240, 20, text=axis.label, size=LETTERS, align="center"))
    legend = keys(
        {words["more"]: OURS, words["undecided"]: UNDECIDED, words["less"]: AGAINST},
        x + wide / 2,
        bottom + 44,
    )
    return [(Drawing(words["performance_alt"], (*ticks, *items, *legend)),)]


def aims(measured: Measured) -> list[Sequence[Item]]:
    """What was reached of each aim, by what it is about, and what binds."""
    words = measured.words
    shares = [aim.share for aims in measured.aims.values() for aim in aims if aim.share is not None]
    low, high = math.floor(math.log2(min(shares))), math.ceil(math.log2(max(shares)))
    axis = Axis(words["of_the_aim"], {2.0**each: "" for each in range(low, high + 1)}, log=True)
    edge, x, wide, top, pitch = LEFT - LABEL[0], 232, 352, TOP + 26, 57
    bottom = top + pitch * len(measured.aims)
    items: list[Shape] = [
        Box(x + wide + 24, TOP - 2, 316, 24, words["binds"], size=LETTERS),
        Box(edge, TOP - 2, 190, 24, words["met_of_all"], size=LETTERS),
        *keys({words["met_aim"]: OURS, words["missed_aim"]: AGAINST}, x + wide / 2, TOP - 2),
    ]
    for value in axis.ticks:
        at = x + wide * axis.share(value)
        told = words["the_aim"] if value == 1 else measured.percent(value, 1 if value < QUARTER else 0)
        if value != 1:
            items.append(Line(((at, top), (at, bottom)), PALE, 1))
        items.append(Box(at - 60, bottom + 2, 120, 20, "", told, LETTERS, None, align="center"))
    rules = [top + place * pitch for place in range(len(measured.aims))]
    items += [Line(((LEFT, y), (RIGHT, y)), PALE, 1) for y in rules]
    target = x + wide * axis.share(1)
    items.append(Line(((target, top), (target, bottom)), DARK, 3))
    for place, (group, aims) in enumerate(measured.aims.items()):
        y = top + place * pitch
        met = sum(aim.is_met() is True for aim in aims)
        items += [
            Box(edge, y + 8, 195, 44, words[f"aim_{group}"], f"{met} {words['of']} {len(aims)}", LETTERS),
            Box(x + wide + 24, y + 8, 316, 24, text=words[f"bound_{group}"], size=LETTERS),
        ]
        for turn, (share, aim) in enumerate(_by_share(aims)):
            at = x + wide * axis.share(share)
            fill = OURS if aim.is_met() else AGAINST
            high = y + (12, 32)[turn % 2]
            items.append(Box(at - 6, high, 12, 12, fill=fill))
            if share == min(shares):
                # The one that the title speaks of.
                told = measured.percent(share)
                named = f"{told}: {measured.aim_name(aim)}"
                items += [
                    Box(at - 56, high - 5, 50, 22, told, "", LETTERS, None, AGAINST, "right"),
                    Box(x + wide + 24, y + 30, 316, 24, named, "", LETTERS, None, AGAINST),
                ]
    return [(Drawing(words["aims_alt"], tuple(items)),)]


def _by_share(aims: list[Aim]) -> list[tuple[float, Aim]]:
    """Aims that were measured, by how much of each was reached."""
    found = [(aim.share, aim) for aim in aims if aim.share is not None]
    return sorted(found, key=lambda each: each[0])


def complexity(measured: Measured) -> list[Sequence[Item]]:
    """What a call costs by rows, compiled and not, and how many times as fast it is between the two."""
    words = measured.words
    forms = {form: measured.milliseconds(form) for form in ("compiled", "pipeline")}
    rows = sorted(forms["compiled"])
    between = [tuple((each, told[each]) for told in forms.values()) for each in rows]
    drawn = chart(
        {words[form]: sorted(told.items()) for form, told in forms.items()},
        Axis(words["rows_a_call"], {each: measured.number(each) for each in rows}, log=True),
        Axis(
            words["milliseconds"],
            {each: measured.number(each, digits) for each, digits in POWERS.items()},
            log=True,
        ),
        at=(LEFT - LABEL[0], TOP - 6),
        size=(WIDE + LABEL[0], 292),
        alt=words["complexity_alt"],
        letters=LETTERS,
        colours=(OURS, UNDECIDED),
        guides=[Guide("", points, OURS, 1) for points in between],
    )
    left, top, wide, high = drawn.area
    items: list[Shape] = []
    for each in rows:
        x = left + wide * drawn.across.share(each)
        low, up = (top + high * (1 - drawn.up.share(told[each])) for told in forms.values())
        faster = f"{measured.ratio(forms['pipeline'][each] / forms['compiled'][each])}×"
        # The last stands left of its line, within the page.
        at = x - 58 if each == rows[-1] else x + 4
        items.append(Box(at, 0.6 * low + 0.4 * up - 11, 54, 22, faster, "", 15, None, OURS))
    return [(drawn, Drawing(words["faster_alt"], tuple(items)))]


def quality(measured: Measured) -> list[Sequence[Item]]:
    """The share of positives in each tenth of the propensities, with its interval."""
    words, found = measured.words, measured.evaluation
    means, shares = (found["calibration"][name] for name in ("mean_propensity", "positive_rate"))
    intervals = [_wilson(share, found["rows"] / len(shares)) for share in shares]
    axis = (0, 0.2, 0.4, 0.6, 0.8, 1)
    ends = [
        tuple((mean, interval[end]) for mean, interval in zip(means, intervals, strict=True))
        for end in (0, 1)
    ]
    drawn = chart(
        {words["deployed"]: list(zip(means, shares, strict=True))},
        Axis(words["mean_propensity"], {each: measured.percent(each) if each else "" for each in axis}),
        Axis(words["positive_rate"], {each: measured.percent(each) for each in axis}),
        at=(LEFT - LABEL[0], TOP - 6),
        size=(SQUARE - LEFT - 19, CLOSE - TOP + 10),
        alt=words["quality_alt"],
        letters=LETTERS,
        colours=(OURS,),
        guides=[
            Guide(words["perfect"], ((0, 0), (1, 1)), QUIET, 1.25),
            *(Guide(words["interval"], points, "#8fb3d1", 2) for points in ends),
        ],
    )
    return [(drawn,)]


def _wilson(share: float, rows: float) -> tuple[float, float]:
    """The 95 % interval of a share of so many rows, by Wilson."""
    z = 1.96
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)


def soak(measured: Measured) -> list[Sequence[Item]]:
    """Requests a second, and when a worker was killed."""
    words, found = measured.words, measured.soak
    samples = measured.samples()
    most = max(each["requests_per_second"] for each in samples)
    top = 500 * math.ceil(most / 500)

    faults = {"burst of 1,000": ("bursts", QUIET), "worker killed": ("kills", AGAINST)}
    drawn = chart(
        {words["rate"]: [(each["seconds"] / 60, each["requests_per_second"]) for each in samples]},
        Axis(words["minutes"], {each: str(each) for each in range(0, found["seconds"] // 60 + 1, 2)}),
        Axis("", {each: measured.number(each) for each in range(0, top + 1, 500)}),
        at=(LEFT - LABEL[0], TOP - 6),
        size=(WIDE + LABEL[0], 306),
        alt=words["soak_alt"],
        marked=False,
        letters=LETTERS,
        colours=(OURS,),
        guides=[
            Guide(words[name], ((at / 60, 0), (at / 60, top)), colour)
            for fault, (name, colour) in faults.items()
            for at, what in found["fault_times"]
            if what == fault
        ],
    )
    return [(drawn,)]
