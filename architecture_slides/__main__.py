"""Build the decks beside this file: python -m architecture_slides."""

from __future__ import annotations

import sys
from pathlib import Path

from architecture_slides import architecture, implementation
from architecture_slides.implementation import Implementation
from architecture_slides.limpiapp import LimpiApp
from architecture_slides.rules import faults
from architecture_slides.typesetting.content import ContentError
from architecture_slides.typesetting.deck import Deck, DeckError
from architecture_slides.typesetting.pdf import pdf
from architecture_slides.typesetting.presentation import presentation

HERE = Path(__file__).parent


def decks() -> dict[str, Deck]:
    """Each deck by the name of its files.

    Raises:
        ContentError: what it is made of can't be read, or LimpiApp's architecture does not hold.
    """
    limpiapp, of = architecture.read(), implementation.read()
    if found := faults(limpiapp):
        raise ContentError(f"{architecture.LIMPIAPP}: {found[0]}")
    out = implementation.left_out(of)
    return {
        "limpiapp": LimpiApp(limpiapp, "es").deck(),
        "limpiapp.en": LimpiApp(limpiapp, "en").deck(),
        "implementation": Implementation(of, "es", out).deck(),
        "implementation.en": Implementation(of, "en", out).deck(),
    }


def main() -> None:
    """The command."""
    try:
        for page, missing in implementation.left_out(implementation.read()).items():
            print(f"slides: leaves out {page}: {missing} is not there yet", file=sys.stderr, flush=True)
        for name, deck in decks().items():
            for path, write in ((HERE / f"{name}.pdf", pdf), (HERE / f"{name}.pptx", presentation)):
                path.write_bytes(write(deck))
                print(f"slides: wrote {path.name}, {len(deck.slides)} slides", flush=True)
    except (ContentError, DeckError) as error:
        sys.exit(f"slides: {error}")


if __name__ == "__main__":
    main()
