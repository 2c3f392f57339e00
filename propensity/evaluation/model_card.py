"""Writes a model card from the manifest of a model, and from an evaluation if there is one.

    propensity card --manifest artifacts/churn.json --output model_card.md

To say more than the manifest does, give a template: Markdown, in which `{quality}` stands for a section, and
`{threshold}` for a figure. An unknown name is refused, with the list of those that are known.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from propensity.evaluation.errors import EvaluationError
from propensity.evaluation.figures import Figures
from propensity.evaluation.markdown import text
from propensity.evaluation.sections import sections
from propensity.model.manifest import Manifest, ManifestError, read_manifest

TEMPLATE = """# {title}

Written by `propensity card` from what the manifest of the model says; do not edit.

{summary}

{fields}

{data}

{quality}

{groups}

{importance}

{form}

{limits}
"""
"""The template of a card, unless another is given."""


def card(template: str, manifest: Manifest, evaluation: Figures | None) -> str:
    """Return the model card as Markdown.

    Args:
        template: the text, with the names of sections and figures in braces.
        manifest: the manifest of the model.
        evaluation: the figures of an evaluation of the model, if there is one.

    Raises:
        EvaluationError: the evaluation is of another model, or the template can't be filled.
    """
    if evaluation is not None and evaluation.pickle != manifest.pickle.sha256:
        raise EvaluationError(
            f"the evaluation is of {evaluation.model}, whose pickle is another; evaluate again"
        )
    threshold = manifest.threshold.model_dump()
    costs = {name: text(cost) for name, cost in threshold.items() if name.startswith("cost_")}
    names = {
        "title": text(manifest.contract.title),
        "threshold": f"{manifest.threshold.value:.12g}",
        **costs,
        **sections(manifest, evaluation),
    }
    try:
        filled = template.format_map(names)
    except KeyError as error:
        raise EvaluationError(
            f"the template names {error.args[0]!r}; of this manifest it may name {', '.join(names)}"
        ) from error
    except (ValueError, IndexError, AttributeError) as error:
        raise EvaluationError(f"the template can't be read: {error}; write a brace as two") from error
    return re.sub(r"\n{3,}", "\n\n", filled).rstrip() + "\n"


def run(manifest: Path, evaluation: Path | None, template: Path | None, output: Path) -> None:
    """Run the command `card`."""
    try:
        content = card(
            TEMPLATE if template is None else template.read_text(encoding="utf-8"),
            read_manifest(manifest),
            None if evaluation is None else Figures.read(evaluation),
        )
        output.write_text(content, encoding="utf-8")
    except (ManifestError, EvaluationError) as error:
        sys.exit(f"propensity card: {error}")
    except UnicodeDecodeError as error:
        sys.exit(f"propensity card: {template}: {error}")
    except OSError as error:
        sys.exit(f"propensity card: {error.filename or output}: {error.strerror}")
    print(f"card: wrote {output}")
