"""What the implementation's deck draws: its questions, a request and its way, deployment, alternatives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from architecture_slides.implementation.cards import (
    AGAINST,
    BAR,
    CLOSE,
    LETTERS,
    OURS,
    WARNING,
    height,
    large,
    warning,
)
from architecture_slides.implementation.measured import ROOT, Measured
from architecture_slides.implementation.told import Question, Told
from architecture_slides.typesetting.deck import (
    APART,
    CAPITALS,
    DARK,
    GREY,
    INK,
    LEFT,
    LINE,
    PALE,
    PAPER,
    RIGHT,
    TOP,
    WIDE,
    Arrow,
    Box,
    Drawing,
    Item,
    Line,
    Shape,
    chip,
    columns,
    height_of,
    lines,
    text_width,
)


def questions(measured: Measured) -> list[Sequence[Item]]:
    """Each question with its answer in a phrase and the page where it stands, and what was not received."""
    of, words = measured.of, measured.words
    wide, gap = columns(2, 24)
    high, pitch, sign, size = 50, 62, 96, 14
    half = math.ceil(len(of.questions) / 2)
    items: list[Shape] = []
    for place, question in enumerate(of.questions):
        column, row = divmod(place, half)
        x, y = LEFT + column * (wide + gap), TOP + row * pitch
        label = question.id if question.id[0].isdigit() else words.of(question.label).replace(" ", "\n", 1)
        bonus, _, told = label.partition("\n")
        answer, page = words.of(question.answer), f"{words['page']} {_page_of(question, of)}"
        room = wide - sign - 68
        tall = height_of([lines(answer, size, room, bold=False)], size)
        items += [
            chip(x, y, wide, high, "", fill=PALE),
            chip(x, y, sign, high, told, head=bonus, size=size, fill=OURS, ink=PAPER),
            Box(x + sign + 7, y + (high - tall) / 2 - 5, room, tall + 10, "", answer, size, None),
            Box(x + wide - 67, y + high / 2 - 10, 60, 24, "", page, size, None, DARK, "right"),
        ]
    most = height([words["rebuilt"]], 17, WIDE - BAR)
    missing = warning((LEFT, CLOSE - most, WIDE, most), words["not_received"], words["rebuilt"], 17)
    return [(Drawing(words["map_alt"], tuple(items)), *missing)]


def _page_of(question: Question, of: Told) -> int:
    """The number of the first page that answers it."""
    return next(place for place, page in enumerate(of.pages, 1) if question.id in page.answers)


def request(measured: Measured) -> list[Sequence[Item]]:
    """One row and a batch, each from what goes in to what comes out."""
    words = measured.words
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"-d '(\{.*?\})'.*?```json\n(.*?)\n```", readme, re.DOTALL)
    assert shown  # noqa: S101 - a test compares README and service
    asked, given = (_pairs(text) for text in shown.groups())
    ask, gate, serve, give = (LEFT, 276), (340, 68), (432, 172), (644, 280)
    half = math.ceil(len(asked) / 2)
    high = 38 + half * (CAPITALS + APART) * LETTERS
    single, batch = TOP + high / 2, TOP + high + 86
    left, wide = ask[0] + 7, (146, 124)
    items: list[Shape] = [
        Box(gate[0], TOP, 276, CLOSE - TOP, fill=PALE),
        Box(serve[0], TOP + 8, serve[1], 26, words["this bundle"], size=16, fill=None, align="center"),
        chip(gate[0], TOP, gate[1], CLOSE - TOP, words["token"], fill=GREY),
        Box(ask[0], TOP, ask[1], high, words["one_application"], "", LETTERS, PALE),
        Box(left, TOP + 26, wide[0], high - 30, "", "\n".join(asked[:half]), LETTERS, None),
        Box(left + wide[0] - 7, TOP + 26, wide[1], high - 30, "", "\n".join(asked[half:]), LETTERS, None),
        *_block(serve, single, "POST /v1/predict"),
        *_told((*give, single, 58), words["status_200"], given),
        *_told((*ask, batch, 36), words["a_batch"], words["batch_in"].split("\n")),
        *_block(serve, batch, "POST /v1/predict_batch"),
        *_told((*give, batch, 31), words["status_200"], [words["batch_out"]]),
        Box(give[0], CLOSE - 40, give[1], 40, fill=WARNING),
        Box(give[0] + 7, CLOSE - 30, give[1] - 14, 24, "", words["bad_row"], LETTERS, None, AGAINST),
        Box(give[0], CLOSE - 40, BAR, 40, fill=AGAINST),
    ]
    begin, end = serve[0] + serve[1], give[0] - 1
    for y in (single, batch):
        items.append(Arrow(((ask[0] + ask[1], y), (gate[0] - 1, y)), LINE, 2))
        items.append(Arrow(((gate[0] + gate[1], y), (serve[0] - 1, y)), LINE, 2))
        items.append(Arrow(((begin, y), (end, y)), LINE, 2))
    bend, low = (begin + end) / 2, CLOSE - 20
    items.append(Arrow(((begin, batch + 10), (bend, batch + 10), (bend, low), (end, low)), AGAINST, 2))
    return [(Drawing(words["request_alt"], tuple(items)),)]


def _pairs(text: str) -> list[str]:
    """An object of JSON, a pair a line."""
    pairs = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in json.loads(text).items()]
    return ("{" + ",\n".join(pairs) + "}").split("\n")


def _block(across: tuple[float, float], middle: float, head: str) -> list[Shape]:
    """What answers, around the line of its arrows."""
    return [chip(across[0], middle - 22, across[1], 44, "", head=head, fill=OURS, ink=PAPER)]


def _told(place: tuple[float, float, float, float], head: str, rows: list[str]) -> list[Shape]:
    """What goes in or comes out; the place is left, width, middle and half the height."""
    x, wide, middle, half = place
    return [Box(x, middle - half, wide, 2 * half, head, "\n".join(rows), LETTERS, PALE)]


def sequence(measured: Measured) -> list[Sequence[Item]]:
    """Who hands what to whom, from top to bottom, and the rare ways out."""
    words = measured.words
    heads = ("caller", "authorization", "contract", "dispatcher", "tables")
    middles = dict(zip(heads, (104.0, 312, 490, 668, 846), strict=True))
    caller, authorization, contract, dispatcher, tables = middles.values()
    inside, top, bottom, half = 226, TOP + 22, CLOSE - 6, 6
    items: list[Shape] = [
        Box(inside, TOP - 6, RIGHT - inside, CLOSE - TOP + 6, fill=PALE),
        Box(inside, TOP - 4, RIGHT - inside, 24, words["one_worker"], "", 15, None, DARK, "center"),
        *(Line(((x, top + 34), (x, bottom)), LINE, 1) for x in middles.values()),
        Box(tables - half, 230, 2 * half, 62, fill=OURS),
        Box(tables - half, 330, 2 * half, 30, fill=OURS),
        Box(dispatcher - half, 214, 2 * half, 166, fill=OURS),
    ]
    for head, x in middles.items():
        fill, ink = (GREY, INK) if head == "caller" else (OURS, PAPER)
        items.append(chip(x - 68, top, 136, 34, words[head], fill=fill, ink=ink))
    calls = (
        (caller, authorization, 174, "asks", caller, inside),
        (authorization, contract, 194, "who", authorization, contract),
        (contract, dispatcher - half, 214, "valid_row", contract, dispatcher),
        (dispatcher + half, tables - half, 230, "waiting", dispatcher, tables),
        (contract, dispatcher - half, 246, "others", contract, dispatcher),
        (contract, dispatcher - half, 274, "others_again", contract, dispatcher),
        (tables - half, dispatcher + half, 292, "propensities", dispatcher, tables),
        (dispatcher - half, caller, 312, "answers", inside, contract),
        (dispatcher + half, tables - half, 330, "together", dispatcher, tables),
        (tables - half, dispatcher + half, 360, "propensities", dispatcher, tables),
        (dispatcher - half, caller, 380, "answers_both", inside, contract),
    )
    for begin, end, y, name, left, right in calls:
        wide = text_width(words[name], LETTERS)
        fill = PAPER if left == caller else PALE
        x = (left + right - wide) / 2
        items += [
            Box(x, y - 22, wide, 21, "", words[name], LETTERS, fill, INK, align="center"),
            Arrow(((begin, y), (end, y)), LINE, 2),
        ]
    gain = (contract + 8, 326, dispatcher - half - contract - 14, 42)
    items.append(Box(*gain, words["gain"], "", LETTERS, None, OURS, "center"))
    for begin, y, name in (
        (authorization, 414, "refused"),
        (contract, 442, "invalid"),
        (dispatcher, 470, "late"),
    ):
        wide = text_width(words[name], LETTERS)
        items += [
            Arrow(((begin, y), (caller, y)), AGAINST, 2),
            Box(begin + 4, y - 11, wide, 22, words[name], "", LETTERS, PALE, AGAINST),
        ]
    return [(Drawing(words["sequence_alt"], tuple(items)),)]


def deployment(measured: Measured) -> list[Sequence[Item]]:
    """From what is built to what runs in a cluster, and back."""
    words, inside, right, beside = measured.words, (478, 176), (740, 172), (655, 697, 739)
    stable, middle, canary = 231, 319, 407

    def part(across: tuple[float, float], y: float, high: float, name: str) -> Box:
        """A part around the line at that height."""
        head = words[f"{name}_head"]
        return chip(across[0], y - high / 2, across[1], high, words[name], head=head, fill=GREY)

    items: list[Shape] = [
        Box(212, 176, RIGHT - 212, CLOSE - 176, fill=PALE),
        Box(220, 180, 200, 24, "Kubernetes", size=16, fill=None),
        part((LEFT, 330), 115, 46, "ci"),
        part((450, 232), 115, 46, "registry"),
        part((right[0], RIGHT - right[0]), 115, 46, "compose"),
        chip(LEFT, middle - 29, 136, 58, words["services"], fill=GREY),
        part((246, 130), middle, 70, "gateway"),
        replace(part(inside, stable, 62, "stable"), fill=OURS, ink=PAPER),
        part(inside, middle, 58, "secrets"),
        replace(part(inside, canary, 62, "canary"), fill=PAPER, outline=DARK),
        part(right, stable, 62, "autoscaler"),
        part(right, middle, 58, "alerts"),
        chip(224, 446, 688, 38, words["objectives"], fill=PAPER),
        Arrow(((366, 115), (449, 115)), LINE, 2),
        Arrow(((682, 115), (739, 115)), LINE, 2),
        Arrow(((530, 138), (530, 199)), LINE, 2),
        Box(290, 146, 232, 24, "", words["after_approval"], LETTERS, None, align="right"),
        Arrow(((602, 138), (602, 199)), AGAINST, 2),
        Box(608, 146, 300, 24, words["rollback"], "", LETTERS, None, AGAINST),
        Arrow(((172, middle), (245, middle)), LINE, 2),
        Arrow(((376, 304), (430, 304), (430, stable), (477, stable)), LINE, 2),
        Arrow(((376, 334), (430, 334), (430, canary), (477, canary)), LINE, 2),
        Box(406, 256, 48, 22, "95 %", "", LETTERS, PALE, align="center"),
        Box(406, 360, 48, 22, "5 %", "", LETTERS, PALE, align="center"),
        Arrow(((right[0], stable), (beside[0], stable)), LINE, 2),
        Arrow(((566, 290), (566, 263)), LINE, 2),
        Arrow(((566, 348), (566, 375)), LINE, 2),
        Arrow(((654, 250), (beside[1], 250), (beside[1], 308), (beside[2], 308)), LINE, 2),
        Arrow(((654, canary), (beside[1], canary), (beside[1], 330), (beside[2], 330)), LINE, 2),
    ]
    return [(Drawing(words["deployment_alt"], tuple(items)),)]


def choices(measured: Measured) -> list[Sequence[Item]]:
    """Questions from left to right; each yes goes down to what to do instead."""
    of, words = measured.of, measured.words
    top, low, asked, told = TOP, TOP + 148, 104, 128
    wide, gap = columns(len(of.choices) + 1, 38)
    items: list[Shape] = []
    for place, choice in enumerate(of.choices):
        x = LEFT + place * (wide + gap)
        middle, beside = x + wide / 2, top + asked / 2
        items += [
            chip(x, top, wide, asked, words.of(choice.asked), fill=GREY),
            chip(x, low, wide, told, words.of(choice.told), head=words.of(choice.instead), fill=PALE),
            Arrow(((middle, top + asked), (middle, low - 1)), LINE, 2),
            Box(middle + 4, (top + asked + low) / 2 - 13, 40, 22, text=words["yes"], size=LETTERS, fill=None),
            Arrow(((x + wide, beside), (x + wide + gap - 1, beside)), LINE, 2),
            Box(x + wide, beside - 25, gap - 6, 22, "", words["no"], LETTERS, None, align="center"),
        ]
    last, high = RIGHT - wide, low + told - top
    items.append(
        chip(last, top, wide, high, words["this_way"], head=words["this_bundle_runs"], fill=OURS, ink=PAPER)
    )
    half, _ = columns(2, 16)
    most = height((words["improvements"], words["untried"]), 17, half)
    following = large((LEFT, CLOSE - most, half, most), words["following"], words["improvements"], 17)
    untried = warning((RIGHT - half, CLOSE - most, half, most), words["not_tried"], words["untried"], 17)
    return [(Drawing(words["choices_alt"], tuple(items)), *following, *untried)]
