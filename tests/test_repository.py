"""The repository: what is tracked, and how a run of its tests ends."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conftest
import demonstration
import pytest
from conftest import ROOT

BINARIES = {
    "architecture_slides/*.pdf": "the decks as built, to be read without building them",
    "architecture_slides/*.pptx": "the decks as built, to be edited",
    "docs/evaluation/*.png": "a plot that a page shows",
    "docs/page/*.png": "a screenshot that a page shows",
    "load_tests/plots/*.png": "a plot that the report shows",
}
"""Which files may be binary, and why."""


def tracked(folder: Path) -> list[str]:
    listing = ["git", "ls-files", "-z"]
    listed = subprocess.run(listing, cwd=folder, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (folder / name).is_file()]


def is_binary(path: Path) -> bool:
    content = path.read_bytes()
    try:
        return "\0" in content.decode()
    except UnicodeDecodeError:
        return True


def unexplained(folder: Path) -> list[str]:
    """Binary files that are tracked without a reason."""
    return [
        name
        for name in tracked(folder)
        if not any(fnmatch(name, pattern) for pattern in BINARIES) and is_binary(folder / name)
    ]


def test_no_binary_file_is_tracked_without_a_reason() -> None:
    assert unexplained(ROOT) == []
    names = tracked(ROOT)
    assert len(names) > 200
    for pattern in BINARIES:
        assert any(fnmatch(name, pattern) for name in names), f"{pattern} names nothing any more"


@pytest.mark.parametrize(
    ("name", "content"),
    [(".metrics/counter_1.db", b"a\0b"), ("model.pkl", b"\x80\x05."), ("plot.png", b"\x89PNG\0")],
)
def test_a_binary_file_without_a_reason_is_found(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "text").write_text("ñ\n")
    for command in (["init", "--quiet"], ["add", "--force", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert unexplained(tmp_path) == [name]


@pytest.mark.parametrize(
    "name",
    [
        ".local/token", "artifacts/propensity.pkl", ".metrics/counter_1.db", ".benchmarks/x", ".coverage",
        "htmlcov/index.html", "mlruns/0/meta.yaml", "mlflow.db", "spark-warehouse/x", "derby.log",
        "metastore_db/x", "propensity.egg-info/PKG-INFO", "tests/__pycache__/x.pyc", ".hypothesis/examples/x",
    ],
)  # fmt: skip
def test_what_tools_and_peers_leave_is_ignored(name: str) -> None:
    ignored = ["git", "check-ignore", "--quiet", "--no-index", name]
    assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0


def test_the_end_of_a_run_says_in_one_line_what_to_install() -> None:
    written: list[str] = []

    def reports(*reasons: str) -> list[Any]:
        return [SimpleNamespace(longrepr=("test_x.py", 1, f"Skipped: {reason}")) for reason in reasons]

    for skipped in (reports(), reports("no Redis (apt install redis-server)", "no B", "no B")):
        reporter: Any = SimpleNamespace(
            stats={"skipped": skipped}, write_line=lambda line, **_: written.append(line)
        )
        conftest.pytest_terminal_summary(reporter)
    assert written == ["NOT TESTED, 3 tests: no B; no Redis (apt install redis-server)"]


def reasons_to_skip(path: Path) -> Iterator[str]:
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            named = {"skip": call.args[:1], "skipif": [each.value for each in call.keywords]}
            yield from map(ast.literal_eval, named.get(call.func.attr, []))


def test_every_reason_to_skip_says_what_to_install() -> None:
    paths = (ROOT / "tests").rglob("*.py")
    reasons = {reason for path in paths for reason in reasons_to_skip(path)}
    # There is no package of what a platform lacks.
    reasons.remove("no trivy, which there is for Linux on x86-64 alone")
    assert len(reasons) >= 6
    assert [each for each in reasons if not re.fullmatch(r"no [\w ]+ \(apt install [\w-]+\)", each)] == []


SERVED_ANYWHERE = ("propensity", "deploy", "load_tests", "service.py", "import_model.py")
"""The code that serves any model, whatever its rows are about."""

COMMON = {"ignore", "no", "other", "records", "single", "time", "yes"}
"""Words of the demonstration that any program has."""

ORDINARY = {"fixed", "home", "job", "others", "owner", "parents", "price"}
"""Words that mean something else in code; quoted by themselves, they would be a field or a category."""

PROSE = {"application", "applications"}
"""Words that mean something else in comments and docstrings: a program, such as an ASGI application."""

DOMAIN = {
    "applicant", "applicants", "approved", "borrower", "borrowers", "credit", "credits", "declined",
    "defaulted", "lender", "lenders", "loan", "loans", "mortgage", "repaid", "repayment", "repayments",
}  # fmt: skip

EXPLAINED = {
    ("deploy/sbom.py", "application"): "a type of component in CycloneDX",
    ("propensity/app.py", "applications"): "a module of Starlette",
    ("load_tests/locustfile.py", "applications"): "the data of the demonstration, unless others are given",
    ("load_tests/forms.py", "credit"): "the data of the demonstration, which it compares compilers on",
}
"""Words of the demonstration that stand in a file all the same, and why."""


def words_of(text: str) -> set[str]:
    """The words of a text, and of the names in it, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}


def words_of_the_demonstration(source: str) -> set[str]:
    """What a module says that is true of the demonstration model alone."""
    fields, categories = demonstration.FEATURES, demonstration.CATEGORIES.values()
    contract = demonstration.CONTRACT
    own = {*fields, *chain(*categories), contract.row, contract.rows, *contract.decision_names} | DOMAIN
    code, quoted, is_statement = "", set(), True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        # A string that is a statement by itself is a docstring.
        if token.type == tokenize.NAME or (token.type == tokenize.STRING and not is_statement):
            code += f" {token.string}"
        if token.type == tokenize.STRING:
            quoted.add(token.string.strip("\"'"))
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            is_statement = token.type in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    anywhere = words_of(source) & (own - COMMON - ORDINARY - PROSE)
    named = words_of(re.sub(r"application/[\w.+-]+", "", code)) & PROSE
    return anywhere | named | (quoted & ORDINARY)


def test_no_code_knows_the_demonstration_model() -> None:
    names = [name for name in tracked(ROOT) if name.endswith(".py") and name.startswith(SERVED_ANYWHERE)]
    assert len(names) > 100
    found = {(name, word) for name in names for word in words_of_the_demonstration((ROOT / name).read_text())}
    assert found == EXPLAINED.keys()


def test_no_page_knows_the_demonstration_model() -> None:
    fields, categories = demonstration.FEATURES, demonstration.CATEGORIES.values()
    own = {*fields, *chain(*categories), *demonstration.CONTRACT.decision_names} | DOMAIN
    folder = "propensity/serving/page/"
    names = [name for name in tracked(ROOT) if name.startswith(folder)]
    assert len(names) > 15
    for name in names:
        assert words_of((ROOT / name).read_text()) & (own - COMMON - ORDINARY) == set(), name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("income = row['x']", {"income"}),
        ("def marital_status(): ...", {"marital"}),
        ("class LoanApplication: ...", {"loan", "application"}),
        ("detail = f'the application {number} is not valid'", {"application"}),
        ("read(applications)", {"applications"}),
        ("columns['home']", {"home"}),
        ('FIELDS = ("job", "price")', {"job", "price"}),
        ("DECISIONS = 'approve', 'decline'", {"approve", "decline"}),
        ("x = 1  # of the applicant", {"applicant"}),
        ('"""Credit: as lenders do."""', {"credit", "lenders"}),
        ("kind = 'partime'", {"partime"}),
        ("home = Path('~')\nimport time\n", set()),
        ('"""An ASGI application."""\nmedia_type = "application/json"  # of the application', set()),
        ("def f():\n    # why\n    '''Make the application.'''\n", set()),
        ("credentials = 'time', 'yes', 'ignore'", set()),
    ],
)
def test_words_of_the_demonstration_are_found_in_code(source: str, found: set[str]) -> None:
    assert words_of_the_demonstration(source) == found
