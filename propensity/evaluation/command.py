"""The command of the evaluation.

    propensity evaluate --known holdout.json --url http://127.0.0.1:3000 --token TOKEN
    propensity evaluate --outcomes outcomes.csv --log /var/log/propensity
    make evaluate

Sends rows with known outcomes to the running service, one by one and as a batch. Outcomes that arrive later
are joined with the prediction log by request id instead, to evaluate what was predicted at the time. Writes
a report with pictures and ends with a verdict; the exit code is 1 if production differs from what the
notebook promised.
"""

from __future__ import annotations

import sys
from pathlib import Path

from propensity.evaluation.client import Api
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import evaluate, load_notebook_pipeline
from propensity.evaluation.known_outcomes import KnownOutcomes, ask_service
from propensity.evaluation.later_outcomes import read_later_outcomes
from propensity.evaluation.report import lines, write


def run(
    *,
    url: str,
    token: str | None,
    known: Path | None,
    outcomes: Path | None,
    log: Path | None,
    pickle: Path | None,
    report: Path,
) -> None:
    """Run the command `evaluate`."""
    if not token:
        sys.exit(
            "propensity evaluate: no token; give one with --token, or in TOKEN (`make -s token` prints one)"
        )
    try:
        with Api(url, token) as api:
            card = api.model_card()
            notebook = None if pickle is None else load_notebook_pipeline(pickle, card)
            if known is not None:
                deployed = ask_service(api, card, KnownOutcomes.read(known, card))
            elif outcomes is not None and log is not None:
                deployed = read_later_outcomes(card, outcomes, log)
        evaluation = evaluate(deployed, notebook)
    except EvaluationError as error:
        sys.exit(f"propensity evaluate: {error}")
    print("\n".join(lines(evaluation)))
    try:
        written = write(evaluation, report)
    except OSError as error:
        sys.exit(f"propensity evaluate: {error.filename or report}: {error.strerror}")
    print(f"\nevaluate: wrote {written}")
    if evaluation.faults:
        sys.exit(
            "propensity evaluate: NOT as promised:\n" + "\n".join(f"  {fault}" for fault in evaluation.faults)
        )
    print("evaluate: as promised")
