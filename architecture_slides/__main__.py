"""Build the decks and the page beside this file: python -m architecture_slides."""

from __future__ import annotations

import sys
from pathlib import Path

from architecture_slides.implementation import told
from architecture_slides.implementation.main_pages import Implementation
from architecture_slides.limpiapp import architecture
from architecture_slides.limpiapp.interactive.page import page
from architecture_slides.limpiapp.main_pages import LimpiApp
from architecture_slides.limpiapp.rules import faults
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
    limpiapp, of = architecture.read(), told.read()
    if found := faults(limpiapp):
        raise ContentError(f"{architecture.LIMPIAPP}: {found[0]}")
    return {
        "limpiapp": LimpiApp(limpiapp, "es").deck(),
        "limpiapp.en": LimpiApp(limpiapp, "en").deck(),
        "implementation": Implementation(of, "es").deck(),
        "implementation.en": Implementation(of, "en").deck(),
    }


def main() -> None:
    """The command."""
    try:
        for name, deck in decks().items():
            for path, write in ((HERE / f"{name}.pdf", pdf), (HERE / f"{name}.pptx", presentation)):
                path.write_bytes(write(deck))
                print(f"slides: wrote {path.name}, {len(deck.slides)} slides", flush=True)
        path = HERE / "limpiapp.html"
        path.write_bytes(page(architecture.read()))
        print(f"slides: wrote {path.name}", flush=True)
    except (ContentError, DeckError) as error:
        sys.exit(f"slides: {error}")


if __name__ == "__main__":
    main()
