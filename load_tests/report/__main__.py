"""Writes the report: `python -m load_tests.report`."""

from __future__ import annotations

from load_tests.report import plots
from load_tests.report.figures import LOAD_TESTS
from load_tests.report.report import report

plots.draw()
(LOAD_TESTS / "REPORT.md").write_text(report(), encoding="utf-8")
print("report: wrote load_tests/REPORT.md and its pictures")
