"""The load tests: what they committed is what the documents say, and their commands say what is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from conftest import PREDICT_TOKEN, ROOT
from demonstration import CONTRACT, EXAMPLE

from load_tests import bulk, capacity, first_minute, measurements, profiling, start
from load_tests.compare.__main__ import CELLS, TWO_WORKERS_CELLS
from load_tests.compare.contenders import CONTENDERS, Contender
from load_tests.measurements import read
from load_tests.report import aims, alike, figures, report
from load_tests.report.figures import (
    COMPILED,
    CONNECTIONS,
    INVALID,
    PIPELINE,
    SIZES,
    THIS,
    Comparison,
    Complexity,
    Scaling,
    cell,
    usl,
)
from propensity.__main__ import main
from propensity.contract.problem import Problem


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_the_report_is_made_of_the_committed_measurements() -> None:
    assert report.report() == (ROOT / "load_tests/REPORT.md").read_text()


def test_the_readme_and_the_decisions_show_the_committed_measurements() -> None:
    comparison = Comparison()
    readme = (ROOT / "README.md").read_text()
    assert report.summary(comparison) in readme
    assert alike.serving_alone(comparison) in readme
    assert f"Compiling alone makes it {alike.compiling_alone(comparison)} as fast" in readme
    for page, others in (
        ("0002-http-application.md", [figures.MIDDLEWARE]),
        ("0004-dispatcher.md", [figures.BENTOMLS, figures.DIRECT]),
    ):
        assert report.variants(comparison, *others) in (ROOT / "docs/adr" / page).read_text()


def test_the_comparison_measured_its_contenders_in_every_cell() -> None:
    comparison = Comparison()
    assert len(comparison.rounds) == 3
    for contender in CONTENDERS:
        if contender.name not in comparison.contenders:
            continue
        for connections, size in CELLS:
            is_measured = (contender.single if size == 1 else contender.batch) is not None
            assert comparison.has(contender.name, cell(connections, size)) == is_measured
    assert {connections for connections, size in CELLS if size == 1} == set(CONNECTIONS)
    assert {size for _, size in CELLS} == set(SIZES)
    assert comparison.errors(THIS) == 0


def test_the_comparison_measured_every_contender_as_it_is_configured_now() -> None:
    comparison = Comparison()
    assert {each.name for each in CONTENDERS} == set(comparison.contenders)
    for contender in CONTENDERS:
        measured = comparison.contenders[contender.name]
        assert (measured["configured"], measured["workers"]) == (contender.configured, contender.workers)
        for connections, size in TWO_WORKERS_CELLS:
            is_measured = (contender.single if size == 1 else contender.batch) is not None
            assert comparison.has(contender.name, cell(connections, size), workers=2) == is_measured


def without(name: str) -> Comparison:
    """The committed comparison as if a contender, and two workers, had not been measured yet."""
    content = read("compare")
    del content["contenders"][name]
    for this_round in content["rounds"]:
        del this_round[name]
        for measured in this_round.values():
            del measured["two_workers"]
    return Comparison(content)


def test_the_same_model_is_compared_in_every_server_that_was_measured() -> None:
    for comparison in (Comparison(), without("Ray Serve, same compiled model")):
        for _, compiled in COMPILED.values():
            is_shown = f"\n| {compiled} | " in alike.same_compiled(comparison)
            assert is_shown == (compiled in comparison.contenders)
    comparison = Comparison()
    (line,) = [
        line
        for line in alike.told_apart(comparison, alike.SINGLE).splitlines()
        if line.startswith("| Ray Serve ")
    ]
    lead, serving_pickle, serving_compiled, compiling = map(float, re.findall(r"([\d.]+)×", line))
    same = comparison.ratio(THIS, "Ray Serve, same compiled model", alike.SINGLE)
    assert serving_compiled == pytest.approx(same, rel=0.1)
    assert serving_pickle == pytest.approx(comparison.ratio(PIPELINE, "Ray Serve", alike.SINGLE), rel=0.1)
    # Within a round exactly; here are the medians of each.
    assert lead == pytest.approx(serving_compiled * compiling, rel=0.5)


def test_servers_of_two_workers_are_compared_by_processor_time() -> None:
    assert alike.two_workers(without("MLflow"), alike.SINGLE, 1) == "Not measured yet."
    comparison = Comparison()
    table = alike.two_workers(comparison, alike.SINGLE, 1)
    one, two = (comparison.per_cpu_second(THIS, alike.SINGLE, workers) for workers in (1, 2))
    assert f"\n| {THIS} | {comparison.rate(THIS, alike.SINGLE):,.0f} | " in table
    assert f" | {one:,.0f} | {two:,.0f} | 1 |\n" in table
    assert all(f"\n| {each.name} | " in table for each in CONTENDERS if each.single is not None)


def test_whoever_is_faster_anywhere_is_listed() -> None:
    for comparison in (Comparison(), without("MLflow")):
        lines = aims.faster(comparison, THIS, comparison.contenders).splitlines()
        for connections in CONNECTIONS:
            what = f"| single predictions/s, {connections} connection{'s' * (connections > 1)} |"
            (line,) = [line for line in lines if line.startswith(what)]
            for name in set(comparison.contenders) - {THIS}:
                of = cell(connections, 1)
                is_faster = comparison.has(name, of) and comparison.ratio(name, THIS, of) > 1
                assert (f" {name}: " in line) == is_faster, name


def test_the_first_minute_needs_less_than_800_mb(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(2_000_000))
    os.link(tmp_path / "a", tmp_path / "b")
    assert first_minute.megabytes(tmp_path) == 2
    measured = read("first_minute")
    assert measured["mb"] < 800
    assert f"| `make serve`, in all | {measured['total']:.0f} | {measured['mb']:.0f} |" in report.report()


def test_aims_are_met_or_missed_by_what_was_measured() -> None:
    assert aims.Aim("", 2, 1.9).line()[1:] == ["≥ 2×", "1.90×", "**no**"]
    assert aims.Aim("", 2, 2.0).line()[1:] == ["≥ 2×", "2.0×", "yes"]
    assert aims.Aim("", 10, 10.1, " ms", at_most=True).line()[1:] == ["≤ 10 ms", "10 ms", "**no**"]
    assert aims.Aim("", 10, 9.9, " ms", at_most=True).line()[1:] == ["≤ 10 ms", "9.9 ms", "yes"]
    assert aims.Aim("", 800_000, None, " rows/s").line()[1:] == ["≥ 800,000 rows/s", "not measured", ""]
    rates = [("parquet", 1, 1_600_000), ("parquet", 2, 2_400_000)]
    cells = [
        {"kind": kind, "rows": 10_000_000, "processes": processes, "rows_per_second": rate}
        for kind, processes, rate in rates
    ]
    comparison = Comparison()
    found = {each.what: each for each in aims.aims(comparison, {"cells": cells}, read("options"))}
    assert found["A file of Parquet, one core"].is_met() is True
    assert found["A file of Parquet, `--processes 2` to one"].found == 1.5
    assert found["A file of Parquet, `--processes 2` to one"].is_met() is False
    assert found["A file of CSV, one core"].is_met() is None
    invalid = found["1,000 rows as JSON, 8 connections, 1 % of them invalid, to none"]
    assert invalid.found == comparison.ratio(INVALID, THIS, cell(8, 1_000))


def test_of_a_hundred_rows_one_is_sent_as_an_invalid_one() -> None:
    (contender,) = [each for each in CONTENDERS if each.name == INVALID]
    request = contender.batch
    assert request is not None
    sent = json.loads(request.body([dict(EXAMPLE)] * 1_000))[CONTRACT.rows]
    for place, row in enumerate(sent):
        assert isinstance(CONTRACT.read_row(row), Problem) != request.is_valid(place)
    assert sum(request.is_valid(place) for place in range(1_000)) == 990


def test_there_is_nothing_to_resume_unless_a_run_was_stopped() -> None:
    done = run("load_tests.compare", "--resume")
    assert done.returncode == 1
    assert done.stderr == "compare: no run of this version was stopped; leave out --resume\n"


def test_files_are_scored_with_a_core_for_each_process() -> None:
    one, two = (bulk.command("csv", Path("in.csv"), Path("out.csv"), processes) for processes in (1, 2))
    assert two == [*one, "--processes", "2"]
    counted = "import os, time; time.sleep(0.1); assert len(os.sched_getaffinity(0)) == 1"
    seconds, megabytes = bulk.measure([sys.executable, "-c", counted], cores=1)
    assert seconds >= 0.1
    assert megabytes > 1


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_every_contender_is_there_to_be_installed_and_started(contender: Contender) -> None:
    assert (ROOT / contender.requirements).is_file()
    for part in contender.command:
        if part.startswith("load_tests/") and part.endswith(".py"):
            assert (ROOT / part).is_file()
    for request in (contender.single, contender.batch):
        if request is not None:
            assert request.body([dict(EXAMPLE)])


def test_a_plan_grows_with_the_load_and_the_rows() -> None:
    small, large = capacity.plan(1_000, 50), capacity.plan(100_000, 50)
    assert small.workers < large.workers
    assert large.workers == pytest.approx(100_000 / (large.worker.rps * capacity.HEADROOM), abs=1)
    assert small.price_of_a_million == large.price_of_a_million
    hundred, between, thousand = (capacity.of_worker(rows, 1_000).rps for rows in (100, 400, 1_000))
    assert hundred > between > thousand
    assert capacity.plan(10, 1_000, 1_000).price_of_a_million < small.price_of_a_million


def test_a_worker_is_measured_within_the_latency_asked_for() -> None:
    scaling = Scaling()
    tails = sorted(scaling.median(1, each, "p99_ms") for each in scaling.connections)
    slow, fast = capacity.of_worker(1, tails[-1]), capacity.of_worker(1, tails[0])
    assert fast.p99_ms <= tails[0]
    assert slow.rps >= fast.rps


def test_the_capacity_command_prints_the_plan() -> None:
    done = commands.run(main, "capacity", "--rps", "2000", "--p99-ms", "50")
    assert done.returncode == 0
    plan = capacity.plan(2_000, 50)
    assert f"workers  {plan.workers} (a core each)" in done.stdout
    assert f"binds    {plan.binds}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rps", "10", "--p99-ms", "0.001"], "no load of 1 rows a request was answered within"),
        (["--rps", "10", "--p99-ms", "50", "--rows", "20000"], "requests of 1 to 10,000 rows"),
        (["--rps", "0", "--p99-ms", "50"], "--rps, --p99-ms and --core-hour must be more than 0"),
    ],
)
def test_a_load_that_was_not_measured_is_said_in_one_line(arguments: list[str], message: str) -> None:
    done = commands.run(main, "capacity", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"propensity capacity: {message}")
    assert done.stderr.count("\n") == 1


def test_the_former_command_of_the_capacity_names_the_new_one() -> None:
    done = run("load_tests.capacity", "--rps", "2000", "--p99-ms", "50")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "load_tests.capacity: it is a command now: `propensity capacity`\n"


def test_a_missing_client_is_said_in_one_line(tmp_path: Path) -> None:
    for command, name in (("load_tests.compare", "compare"), ("load_tests.scaling", "scaling")):
        done = run(command, PATH=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr == f"{name}: wrk is not installed; install it (Debian, Ubuntu: apt install wrk)\n"


def test_an_unknown_contender_is_named(tag: str) -> None:
    done = run("load_tests.compare", "no such thing")
    assert done.returncode == 1
    assert done.stderr.startswith("compare: no contender no such thing; there are this bundle, ")


def test_the_fits_follow_what_was_measured() -> None:
    scaling, costs = Scaling(), Complexity()
    for workers in scaling.workers:
        fitted = scaling.usl(workers)
        off = sorted(
            abs(usl(connections, *fitted) / scaling.rate(workers, connections) - 1)
            for connections in scaling.connections
        )
        assert off[len(off) // 2] < 0.2
        assert off[-1] < 0.5
    for form in ("compiled", "pipeline"):
        assert min(costs.fit(form)) >= 0
        assert sorted(map(abs, costs.residuals(form)))[len(costs.residuals(form)) // 2] < 0.35


def test_a_compiled_family_predicts_what_its_pipeline_does() -> None:
    families = read("forms")["families"]
    assert len(families) >= 15
    for family, of in families.items():
        assert (of["form"] == "pipeline") == (of["parity"] is None), family
        if of["parity"] is not None:
            assert of["parity"]["max_difference"] <= 1e-6, family
            assert of["parity"]["decisions_changed"] == 0, family


@pytest.mark.thorough
@pytest.mark.parametrize("user", ["SingleUser", "BatchUser", "MixedUser"])
def test_each_kind_of_locust_user_predicts_without_failures(server: str, user: str) -> None:
    done = run(
        "locust", "-f", "load_tests/locustfile.py", "--host", server, "--headless", "--json", "--users", "4",
        "--spawn-rate", "4", "--run-time", "2s", "--loglevel", "ERROR", user, TOKEN=PREDICT_TOKEN,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for entry in json.loads(done.stdout):
        assert entry["num_requests"] > 10
        assert entry["num_failures"] == 0


@pytest.mark.thorough
def test_locust_users_say_when_a_token_is_missing_or_wrong(server: str) -> None:
    options = ["--host", server, "--headless", "--users", "1", "--run-time", "1s", "SingleUser"]
    missing = run("locust", "-f", "load_tests/locustfile.py", *options, TOKEN="")
    assert missing.returncode == 1
    assert "TOKEN is not set; `make -s token` prints the one of `make serve`" in missing.stderr
    wrong = run("locust", "-f", "load_tests/locustfile.py", *options, TOKEN="wrong")
    assert wrong.returncode == 1
    assert "401" in wrong.stderr + wrong.stdout


def test_the_load_test_failed_no_request() -> None:
    for paths in read("load_test")["users"].values():
        assert all(figures["failures"] == 0 and figures["requests"] > 100 for figures in paths)


def test_a_measurement_is_dirty_by_what_was_changed_and_not_by_what_measuring_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    here, code = tmp_path / "load_tests/measurements", tmp_path / "service.py"
    here.mkdir(parents=True)
    for path in (here / "compare.json", code):
        path.write_text("{}")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "Begin")
    monkeypatch.setattr(measurements, "HERE", here)
    head = git("rev-parse", "--short=7", "HEAD")
    (here / "compare.json").write_text("[]")
    assert measurements.commit() == head
    code.write_text("[]")
    assert measurements.commit() == f"{head}-dirty"


def test_the_time_of_imports_is_summed_by_package() -> None:
    log = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:      1200 |       1200 |   bentoml._internal\n"
        '{"message": "import time"}\n'
        "import time:       300 |       1500 | bentoml\n"
        "import time:      2000 |       2000 | numpy\n"
    )
    assert start.packages(log) == {"numpy": 2.0, "bentoml": 1.5}


def test_samples_are_counted_by_the_innermost_frame_that_belongs_to_a_part() -> None:
    stacks = (
        "main (uvicorn/server.py);run_asgi (uvicorn/protocols/http/httptools_impl.py);"
        "_answer (propensity/app.py);row (propensity/formats/decoder.py);loads (json/decoder.py) 3\n"
        "main (uvicorn/server.py);run (asyncio/runners.py) 1\n"
    )
    assert profiling.parts(stacks) == {"reading and writing": 0.75, profiling.REST: 0.25}
