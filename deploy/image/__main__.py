"""Builds the image with whatever engine is there: `python -m deploy.image`; BASE names another base."""

from __future__ import annotations

import os
import sys

from deploy import image


def main() -> None:
    """The command; its last line is the name of the image."""
    base = os.environ.get("BASE")
    try:
        options = ["--build-arg", f"BASE={base}"] if base else []
        print(image.build(image.latest_bento(), image.engine(), options))
    except image.ImageError as error:
        sys.exit(f"image: {error}")


if __name__ == "__main__":
    main()
