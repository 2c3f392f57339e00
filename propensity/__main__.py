"""The command `propensity`, or `python -m propensity`: what its commands take, and which module does it."""

from __future__ import annotations

from typing import Any

import click

from propensity.command_line import PATH, Commands, run, start


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`propensity COMMAND --help` shows an example and the exit codes.",
)
def propensity() -> None:
    """Import, serve and watch over a model."""


@propensity.command(
    "import",
    example="propensity import churn.joblib --data customers.csv --target churned",
    exit_codes={
        0: "the model is in the store",
        1: "it is refused, and nothing is stored; one line says why",
    },
)
@click.argument("model", metavar="PATH", type=PATH, help="file, or folder of an MLflow model")
@click.option(
    "--data", metavar="FILE", type=PATH, help="rows with known outcomes: CSV, Parquet, JSON or NDJSON"
)
@click.option("--target", metavar="COLUMN", help="column of the outcome in FILE")
@click.option(
    "--positive", metavar="VALUE", help="outcome whose probability is predicted; by default True, 1 or yes"
)
@click.option(
    "--threshold", metavar="T", type=float, help="propensity from which on the decision is positive (0.5)"
)
@click.option("--name", metavar="NAME", help="what the model is called (as its file)")
def _import(**given: Any) -> None:
    """Import a model into the BentoML model store and print its tag.

    With a manifest beside PATH, which handover.write writes, no option is needed or taken.
    """
    run("import_model", given)


@propensity.command(
    example="propensity serve --port 3001 churn:latest",
    exit_codes={
        0: "it was told to stop, and answered the requests in progress",
        1: "it can't start; one line says why",
    },
)
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", envvar="BENTOML_HOST", show_default=True,
    show_envvar=True, help="address to listen on; 0.0.0.0 for every one",
)  # fmt: skip
@click.option(
    "--port", metavar="N", type=click.IntRange(1, 65_535), default=3000, envvar="BENTOML_PORT",
    show_default=True, show_envvar=True, help="port to listen on",
)  # fmt: skip
@click.argument("tag", required=False, help="model (PROPENSITY_MODEL, or the only one in the store)")
def serve(**given: Any) -> None:
    """Serve a model of the store.

    In a Bento, the one that it was built with. Once the service is ready, its address is printed and, if
    TOKEN is a token of it, a request to paste.
    """
    run("propensity.serving.command", given)


_TOKENS: dict[str, Any] = {
    "example": "PROPENSITY_TOKENS_FILE=tokens propensity tokens new scoring-team --scope predict",
    "exit_codes": {0: "the token is made", 1: "it is not; one line says why"},
}


@propensity.group(**_TOKENS)
def tokens() -> None:
    """Make tokens for callers of the API."""


@tokens.command("new", **_TOKENS)
@click.argument("name", help="the caller who gets it, such as a team")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(["predict", "metrics"]),
    help="may be given twice",
)  # fmt: skip
def _new_token(**given: Any) -> None:
    """Print a new token, once, and append its hash to the tokens file."""
    run("propensity.access.tokens", given)


_SIGN: dict[str, Any] = {
    "example": "propensity sign new signing-key",
    "exit_codes": {0: "both keys are written", 1: "they are not; one line says why"},
}


@propensity.group(**_SIGN)
def sign() -> None:
    """Make the keys that models are signed with."""


@sign.command("new", **_SIGN)
@click.argument("path", type=PATH, help="path of the private key; .pub is added for the public key")
def _new_key(**given: Any) -> None:
    """Write a new private key, and its public key beside it; print the path of that."""
    run("propensity.model.signature", given)


@propensity.command(
    example="propensity score rows.parquet predictions.parquet --id row_id",
    exit_codes={
        0: "all rows are predicted",
        1: "the files can't be scored; one line says why",
        3: "some rows have problems, which are in OUTPUT.problems.ndjson",
        130: "Ctrl-C stopped it; started again, it continues",
        143: "SIGTERM stopped it; started again, it continues",
    },
)
@click.argument(
    "inputs", metavar="INPUT...", type=PATH, nargs=-1, required=True,
    help="rows (.parquet, .csv, .ndjson, .jsonl; text also in .gz or .zst): files, folders of them, or quoted"
    " patterns",
)  # fmt: skip
@click.argument("output", type=PATH, help="predictions, one for each row (.parquet, .csv, .ndjson, .jsonl)")
@click.option("--id", "id_column", metavar="COLUMN", help="of the input, names the rows; written as `id`")
@click.option("--model", metavar="TAG", help="PROPENSITY_MODEL, or the only one in the store")
@click.option(
    "--processes", metavar="N", type=click.IntRange(1), default=1, show_default=True,
    help="processes that score; each holds the model",
)  # fmt: skip
def score(**given: Any) -> None:
    """Score files of rows with a model of the store, without a server."""
    run("propensity.files.scoring", given)


@propensity.command(
    example="propensity evaluate --known holdout.json --url http://127.0.0.1:3000 --token TOKEN",
    exit_codes={0: "as promised", 1: "not as promised, or it can't be evaluated; the last lines say why"},
)
@click.option(
    "--url", metavar="URL", default="http://127.0.0.1:3000", show_default=True, help="the running service"
)
@click.option("--token", metavar="TOKEN", envvar="TOKEN", show_envvar=True, help="with the scope predict")
@click.option(
    "--known", metavar="FILE", type=PATH, help="rows with outcomes, such as the notebook's hold-out set"
)
@click.option(
    "--outcomes", metavar="FILE", type=PATH, help="CSV or Parquet: request_id, the target, and row of a batch"
)
@click.option(
    "--log", metavar="FOLDER", type=PATH, help="folder of the prediction log that the outcomes belong to"
)
@click.option(
    "--pickle", metavar="FILE", type=PATH, help="the notebook's pickle, to compare each propensity with"
)
@click.option(
    "--report", metavar="FOLDER", type=PATH, default=".local/evaluation", show_default=True,
    help="folder to write to",
)  # fmt: skip
def evaluate(**given: Any) -> None:
    """Compare the service's answers with the notebook's promise.

    Either --known, rows with outcomes to be predicted now, or --outcomes of predictions in the log.
    """
    if (given["known"] is None) == (given["outcomes"] is None):
        raise click.UsageError("Give either --known or --outcomes.")
    if (given["outcomes"] is None) != (given["log"] is None):
        raise click.UsageError("--outcomes and --log belong together: outcomes, and what was predicted then.")
    run("propensity.evaluation.command", given)


@propensity.command(
    example="propensity drift /var/log/propensity --days 7 --page drift.html",
    exit_codes={0: "nothing has moved", 1: "something has, or it can't be measured; the last line says what"},
)
@click.argument("log", type=PATH, help="folder of the prediction log")
@click.option("--days", metavar="N", type=float, default=7, show_default=True, help="days to look back")
@click.option("--model", metavar="TAG", help="the model that is served")
@click.option("--page", "page_path", metavar="FILE", type=PATH, help="HTML file to write")
def drift(**given: Any) -> None:
    """Measure drift in the prediction log.

    It says how far the predictions have moved from the model's hold-out set.
    """
    run("propensity.evaluation.drift_report", given)


@propensity.command(
    example="propensity card --manifest artifacts/churn.json --output model_card.md",
    exit_codes={0: "the card is written", 1: "it is not; one line says why"},
)
@click.option("--manifest", metavar="FILE", type=PATH, required=True, help="manifest of the model")
@click.option(
    "--evaluation", metavar="FILE", type=PATH, help="evaluation.json of the model, which `evaluate` writes"
)
@click.option(
    "--template", metavar="FILE", type=PATH, help="Markdown with sections and figures named in braces"
)
@click.option("--output", metavar="FILE", type=PATH, required=True, help="Markdown file to write")
def card(**given: Any) -> None:
    """Write the model card.

    It is made of the manifest of a model, and perhaps an evaluation.
    """
    run("propensity.evaluation.model_card", given)


@propensity.command(
    example="propensity capacity --rps 2000 --p99-ms 50",
    exit_codes={0: "the plan is printed", 1: "such a load was not measured; one line says what was"},
)
@click.option("--rps", metavar="N", type=float, required=True, help="requests a second")
@click.option("--p99-ms", metavar="MS", type=float, required=True, help="99 of 100 are to be answered within")
@click.option("--rows", metavar="N", type=int, default=1, show_default=True, help="rows a request, as JSON")
@click.option(
    "--core-hour", metavar="PRICE", type=float, default=0.04, show_default=True, help="of a core for an hour"
)
def capacity(**given: Any) -> None:
    """Say what it takes to answer a load.

    It is calculated from the committed measurements.
    """
    run("load_tests.capacity", given)


@propensity.command(
    example="docker exec CONTAINER propensity health",
    exit_codes={0: "the service is ready", 1: "it is not"},
)
def health(**given: Any) -> None:
    """Exit with 0 while the service in this container is ready."""
    run("propensity.serving.health", given)


def main() -> None:
    """Run the command that the arguments of this process name."""
    start(propensity, "propensity")


if __name__ == "__main__":
    main()
