"""The annex of the implementation's deck: tables and details, to be read and not to be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from architecture_slides.implementation.measured import BATCH, C8, Measured
from architecture_slides.typesetting.chart import chart
from architecture_slides.typesetting.deck import (
    BOTTOM,
    LEFT,
    TOP,
    WIDE,
    Axis,
    Drawing,
    Item,
    LineChart,
    Table,
    chain,
    table,
)
from load_tests import capacity
from load_tests.measurements import versions
from load_tests.report.aims import C1, C32, Aim, fastest
from load_tests.report.figures import (
    ARROW,
    COMPILED,
    CONNECTIONS,
    DIRECT,
    MODEL_SERVERS,
    NAIVE,
    PIPELINE,
    PIPELINE_DIRECT,
    SAME_MODEL,
    SIZES,
    THIS,
    cell,
)
from load_tests.report.report import EXAMPLES, ranked
from load_tests.report.tables import digits


def _asked(measured: Measured) -> list[Sequence[Item]]:
    """Every question in the brief's words."""
    of, words = measured.of, measured.words
    rows = [[words[name] for name in ("asked", "quote", "answered", "pages")]]
    for each in of.questions:
        pages = [str(place) for place, page in enumerate(of.pages, 1) if each.id in page.answers]
        rows.append([words.of(each.label), f"«{each.quote}»", words.of(each.answer), ", ".join(pages)])
    return [(table(rows, (2, 6, 4, 1), size=13),)]


def _endpoints(measured: Measured) -> list[Sequence[Item]]:
    words = measured.words
    paths = [name for name in measured.of.words if name.startswith(("GET", "POST"))]
    rows = [(words["endpoint"], words["does"]), *((path, words[path]) for path in paths)]
    return [(table(rows, (1, 3), size=16),)]


def _chain(measured: Measured, name: str, y: float, h: float) -> Drawing:
    words = measured.words
    steps = [(words.of(step.head), words.of(step.text)) for step in measured.of.chains[name]]
    return Drawing(words[f"{name}_alt"], chain(steps, y=y, h=h, size=15))


def _design(measured: Measured) -> list[Sequence[Item]]:
    return [(_chain(measured, "import", TOP + 10, 120),)]


def _release(measured: Measured) -> list[Sequence[Item]]:
    return [(_chain(measured, "release", TOP + 10, 140),)]


def _axis(
    measured: Measured, label: str, ticks: Iterable[float], *, log: bool = False, digits: int = 0
) -> Axis:
    return Axis(measured.words[label], {each: measured.number(each, digits) for each in ticks}, log)


def _named(measured: Measured, name: str) -> str:
    """A contender's name in this language; products keep theirs."""
    return measured.words[name] if name in measured.of.words else name


def _rates(
    measured: Measured,
    labels: Mapping[str, str],
    at: tuple[float, float],
    size: tuple[float, float],
    alt: str,
) -> LineChart:
    """Single predictions a second by connections, of contenders by their labels."""
    return chart(
        {
            label: [(each, measured.comparison.rate(name, cell(each, 1))) for each in CONNECTIONS]
            for name, label in labels.items()
        },
        _axis(measured, "connections", CONNECTIONS, log=True),
        _axis(measured, "rate", (10, 100, 1_000, 10_000), log=True),
        at=at,
        size=size,
        alt=measured.words[alt],
    )


def _contenders(measured: Measured) -> list[Sequence[Item]]:
    """What each answers, beside a chart by connections."""
    comparison, words = measured.comparison, measured.words
    heads = ("contender", "rate", "start_s", "started_mb", "times_of")
    rows = [tuple(words[name] for name in heads)]
    for name in [THIS, *ranked(comparison)]:
        ratio = "" if name == THIS else f"{measured.ratio(comparison.ratio(THIS, name, C32))}×"
        rows.append(
            (
                _named(measured, name),
                measured.number(comparison.rate(name, C32)),
                measured.number(comparison.start_seconds(name), 1),
                measured.number(comparison.rss_mb(name, "started", "all")),
                ratio,
            )
        )
    shown = Table(LEFT, TOP, 304, (156, 76, 56, 84, 80), tuple(rows), 12)
    names = (THIS, SAME_MODEL, measured.server, NAIVE)
    labels = {name: _named(measured, name) for name in names}
    return [(shown, _rates(measured, labels, (500, TOP), (424, 304), "throughput"))]


def _alike(measured: Measured) -> list[Sequence[Item]]:
    """This bundle against each server, the same model in both, with one connection and with many."""
    comparison, words = measured.comparison, measured.words
    cells = (C1, C8, C32, BATCH)
    heads = [words[f"cell_{place}"] for place in range(len(cells))]
    parts: list[Sequence[Item]] = []
    tables: list[Item] = []
    for place, (model, ours) in enumerate((("same_pickle", PIPELINE), ("same_model", THIS))):
        rows = [[words[model], *heads]]
        for server, peers in COMPILED.items():
            line = [server]
            for of in cells:
                ratios = comparison.ratios(ours, peers[place], of)
                told = f"{measured.ratio(comparison.ratio(ours, peers[place], of))}×"
                line.append(f"{told}  ({measured.range(ratios)})")
            rows.append(line)
        widths = (WIDE * 0.2, *(WIDE * 0.2,) * len(cells))
        tables.append(Table(LEFT, TOP + place * 206, 196, widths, tuple(map(tuple, rows)), 13))
    parts.append(tables)
    return parts


def _batches(measured: Measured) -> list[Sequence[Item]]:
    """Rows a second by rows a request, and single predictions merged and not."""
    comparison, words = measured.comparison, measured.words
    by_size = chart(
        {
            _named(measured, name): [
                (size, comparison.rate(name, cell(8, size)) * size)
                for size in SIZES
                if comparison.has(name, cell(8, size))
            ]
            for name in (THIS, ARROW, SAME_MODEL, fastest(comparison, MODEL_SERVERS, BATCH))
        },
        _axis(measured, "rows_a_request", SIZES, log=True),
        _axis(measured, "rows_a_second", (100, 1_000, 10_000, 100_000, 1_000_000), log=True),
        at=(LEFT, TOP),
        size=(434, 314),
        alt=words["batches"],
    )
    labels = {name: words[f"form: {name}"] for name in (THIS, DIRECT, PIPELINE, PIPELINE_DIRECT)}
    return [(by_size, _rates(measured, labels, (490, TOP), (434, 314), "merging"))]


def _every_aim(measured: Measured) -> list[Sequence[Item]]:
    """Each aim, what came out, and how much of the aim that is."""
    words = measured.words
    rows = [
        [measured.aim_name(aim), *_aim_told(measured, aim)]
        for group in measured.aims.values()
        for aim in group
    ]
    heads = [words[name] for name in ("aim", "aimed", "found", "reached", "is_met")]
    half = -(-len(rows) // 2)
    parts = (rows[:half], rows[half:])
    return [(replace(table([heads, *part], (8, 2, 2, 1.2, 1), size=12), h=316),) for part in parts]


def _aim_told(measured: Measured, aim: Aim) -> list[str]:
    words = measured.words
    unit = aim.unit.replace("rows", words["rows"].lower())

    def told(value: float) -> str:
        return f"{measured.number(value, 0 if value == int(value) else digits(value))}{unit}"

    if aim.found is None or aim.share is None:
        return [told(aim.bound), "", "", ""]
    sign = "≤" if aim.at_most else "≥"
    met = words["yes" if aim.is_met() else "no"]
    return [f"{sign} {told(aim.bound)}", told(aim.found), measured.percent(aim.share), met]


def _costs(measured: Measured) -> list[Sequence[Item]]:
    """What a call took, compiled and not."""
    words = measured.words
    compiled, pipeline = measured.milliseconds("compiled"), measured.milliseconds("pipeline")
    rows = [[words[name] for name in ("rows_a_call", "compiled", "pipeline", "times_as_fast")]]
    for size, took in sorted(compiled.items()):
        figures = (f"{measured.number(each, 3)} ms" for each in (took, pipeline[size]))
        rows.append([measured.number(size), *figures, f"{measured.ratio(pipeline[size] / took)}×"])
    widths = (WIDE / 4,) * 4
    return [(Table(LEFT, TOP, 230, widths, tuple(map(tuple, rows)), 16),)]


def _scaling(measured: Measured) -> list[Sequence[Item]]:
    """Pods and price of some loads, and throughput by connections with one worker and two."""
    words, scaling = measured.words, measured.scaling
    rows = [tuple(words[name] for name in ("load", "p99", "worker", "pods", "network", "price"))]
    for rps, size, p99_ms in EXAMPLES:
        needed = capacity.plan(rps, p99_ms, size)
        rows.append(
            (
                f"{measured.number(rps)} × {measured.number(size)}",
                measured.number(p99_ms),
                f"{measured.number(needed.worker.rps)}/s",
                measured.number(needed.pods),
                measured.number(needed.network_mbit),
                measured.number(needed.price_of_a_million, 4),
            )
        )
    shown = Table(LEFT, TOP, 270, (118, 54, 92, 46, 76, 94), tuple(rows), 12)
    most = 2_000 * -(-max(measured.busiest(each)[0] for each in scaling.workers) // 2_000)
    drawn = chart(
        {
            words[f"workers: {workers}"]: [
                (each, scaling.rate(workers, each)) for each in scaling.connections
            ]
            for workers in scaling.workers
        },
        _axis(measured, "connections", scaling.connections, log=True),
        _axis(measured, "rate", range(0, int(most) + 1, 2_000)),
        at=(536, TOP),
        size=(388, 282),
        alt=words["scalability"],
    )
    return [(shown, drawn)]


def _metrics(measured: Measured) -> list[Sequence[Item]]:
    """Every metric with how many rows it is of, its interval, and what was promised."""
    words, found = measured.words, measured.evaluation
    confusion = found["confusion"]
    positives, n = found["positives"], found["rows"]
    of = {"recall": positives, "false_positive_rate": n - positives}
    rows = [[words[name] for name in ("metric", "n", "deployed", "interval_95", "notebook", "difference")]]
    for name, promised in found["notebook"].items():
        value, (low, high) = found["metrics"][name], found["intervals"][name]
        rows.append(
            [
                words[name],
                measured.number(of.get(name, n)),
                measured.number(value, 3),
                f"{measured.number(low, 3)} {words['to']} {measured.number(high, 3)}",
                measured.number(promised, 3),
                measured.power(value - promised, 0) if value != promised else "0",
            ]
        )
    counted = [
        (words["true"], words["declined"], words["approved"]),
        (
            words["defaulted"],
            measured.number(confusion["true_positives"]),
            measured.number(confusion["false_negatives"]),
        ),
        (
            words["paid"],
            measured.number(confusion["false_positives"]),
            measured.number(confusion["true_negatives"]),
        ),
    ]
    widths = tuple(WIDE * share / 12 for share in (3, 1, 2, 3, 2, 1))
    return [
        (
            Table(LEFT, TOP, 270, widths, tuple(map(tuple, rows)), 15),
            Table(LEFT, TOP + 290, 100, (WIDE / 3,) * 3, tuple(counted), 15),
        )
    ]


def _options(measured: Measured) -> list[Sequence[Item]]:
    words = measured.words
    options = [(words["option"], words["of_rate_1"], words["of_rate_32"])]
    options += [
        (words[name], measured.percent(each["1"]), measured.percent(each["32"]))
        for name, each in measured.options["summary"].items()
        if name != "plain"
    ]
    files = [(words["file"], words["rows"], words["rows_a_second"], words["memory"])]
    files += [
        (
            words[each["kind"]],
            measured.number(each["rows"]),
            measured.number(each["rows_per_second"]),
            f"{measured.number(each['memory_mb'])} MB",
        )
        for each in measured.bulk["cells"]
        if each.get("processes", 1) == 1
    ]
    return [
        (
            Table(LEFT, TOP, 260, (170, 120, 130), tuple(options), 14),
            Table(LEFT + 444, TOP, 260, (110, 110, 110, 114), tuple(files), 14),
        )
    ]


def _memory(measured: Measured) -> list[Sequence[Item]]:
    """What was answered, by status, beside the memory of the worker that lived and of the supervisor."""
    words, found = measured.words, measured.soak
    counted: dict[str, int] = {}
    for answers in found["answers"].values():
        for status, count in answers.items():
            counted[status] = counted.get(status, 0) + count
    rows = [(words["status"], words["meaning"], words["counted"])]
    rows += [
        (status, words[f"status {status}"], measured.number(counted[status])) for status in sorted(counted)
    ]
    samples = measured.samples()
    most = 100 * -(-max(each["worker_mb"] for each in samples) // 100)
    drawn = chart(
        {
            words[name]: [(each["seconds"] / 60, each[name]) for each in samples]
            for name in ("worker_mb", "supervisor_mb")
        },
        _axis(measured, "minutes", range(0, found["seconds"] // 60 + 1, 2)),
        _axis(measured, "megabytes", range(0, int(most) + 1, 100)),
        at=(490, TOP),
        size=(434, 320),
        alt=words["memory_alt"],
        marked=False,
    )
    return [(Table(LEFT, TOP, 300, (70, 250, 110), tuple(rows), 14), drawn)]


def _alternatives(measured: Measured) -> list[Sequence[Item]]:
    words = measured.words
    rows = [[words[name] for name in ("alternative", "pro", "con", "when")]]
    rows += [
        [words.of(text) for text in (each.name, each.pro, each.con, each.when)]
        for each in measured.of.alternatives
    ]
    return [(table(rows, (3, 4, 4, 4), size=15),)]


def _figures(measured: Measured) -> list[Sequence[Item]]:
    """Every file of figures with its command, its version and the pages that show it."""
    of, words = measured.of, measured.words
    numbers = {page.id: place for place, page in enumerate(of.pages, 1)}
    known = versions()
    rows = [[words[name] for name in ("figures_of", "command", "version", "pages")]]
    for source in of.sources:
        version = known.get(source.file.rpartition("/")[2].removesuffix(".json"))
        annexed = [page.id for page in of.pages if source.file in page.reads]
        shown = sorted(numbers[page] for page in (*source.pages, *annexed))
        rows.append(
            [
                source.file,
                source.command,
                f"{version['commit']} · {measured.day(version['day'])}"
                if version
                else words["with_the_code"],
                ", ".join(map(str, shown)),
            ]
        )
    widths = tuple(WIDE * share / 14 for share in (5, 4, 3, 2))
    # Names of files and commands are written as they are, without a capital letter.
    return [(Table(LEFT, TOP, BOTTOM - TOP, widths, tuple(map(tuple, rows)), 14),)]


ANNEX: dict[str, Callable[[Measured], list[Sequence[Item]]]] = {
    "asked": _asked,
    "endpoints": _endpoints,
    "design": _design,
    "contenders": _contenders,
    "alike": _alike,
    "batches": _batches,
    "every_aim": _every_aim,
    "costs": _costs,
    "scaling": _scaling,
    "metrics": _metrics,
    "options": _options,
    "memory": _memory,
    "release": _release,
    "alternatives": _alternatives,
    "figures": _figures,
}
"""What each annex page shows beside its notes."""
