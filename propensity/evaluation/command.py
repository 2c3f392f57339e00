"""The command of the evaluation.

    python -m propensity evaluate --known holdout.json --url http://127.0.0.1:3000 --token TOKEN
    python -m propensity evaluate --outcomes outcomes.csv --log /var/log/propensity
    make evaluate

Sends rows with known outcomes to the running service, one by one and as a batch. Outcomes that arrive later
are joined with the prediction log by request id instead, to evaluate what was predicted at the time. Writes
a report with pictures and ends with a verdict; the exit code is 1 if production differs from what the
notebook promised.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from propensity.evaluation.client import Api
from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.evaluation import evaluate, load_notebook_pipeline
from propensity.evaluation.known_outcomes import KnownOutcomes, ask_service
from propensity.evaluation.later_outcomes import read_later_outcomes
from propensity.evaluation.report import lines, write


def main() -> None:
    """Run the command `evaluate`."""
    parser = argparse.ArgumentParser(
        prog="python -m propensity evaluate",
        description="Is the deployed model what the notebook promised?",
    )
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="URL of the running service")
    parser.add_argument("--token", default=os.environ.get("TOKEN"), help="with the scope predict ($TOKEN)")
    outcomes = parser.add_mutually_exclusive_group(required=True)
    outcomes.add_argument(
        "--known", type=Path, help="rows with outcomes, such as the notebook's hold-out set"
    )
    outcomes.add_argument(
        "--outcomes", type=Path, help="CSV or Parquet: request_id, the target, and row of a batch"
    )
    parser.add_argument("--log", type=Path, help="folder of the prediction log that the outcomes belong to")
    parser.add_argument("--pickle", type=Path, help="the notebook's pickle, to compare each propensity with")
    parser.add_argument("--report", type=Path, default=Path(".local/evaluation"), help="folder to write to")
    given = parser.parse_args()
    if not given.token:
        sys.exit("evaluate: no token; give one with --token, or in TOKEN (`make -s token` prints one)")
    if (given.outcomes is None) != (given.log is None):
        sys.exit("evaluate: --outcomes and --log belong together: outcomes, and what was predicted then")
    try:
        with Api(given.url, given.token) as api:
            card = api.model_card()
            notebook = None if given.pickle is None else load_notebook_pipeline(given.pickle, card)
            if given.outcomes is None:
                deployed = ask_service(api, card, KnownOutcomes.read(given.known, card))
            else:
                deployed = read_later_outcomes(card, given.outcomes, given.log)
        evaluation = evaluate(deployed, notebook)
    except EvaluationError as error:
        sys.exit(f"evaluate: {error}")
    print("\n".join(lines(evaluation)))
    print(f"\nevaluate: wrote {write(evaluation, given.report)}")
    if evaluation.faults:
        sys.exit("evaluate: NOT as promised:\n" + "\n".join(f"  {fault}" for fault in evaluation.faults))
    print("evaluate: as promised")
