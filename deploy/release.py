"""Sets the image of an overlay, by its digest: `python -m deploy.release OVERLAY NAME@sha256:...`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

K8S = Path(__file__).parent / "k8s"

KUSTOMIZATIONS = {
    "staging": K8S / "overlays/staging/kustomization.yaml",
    "production": K8S / "overlays/production/kustomization.yaml",
    "canary": K8S / "components/canary/kustomization.yaml",
}

_IMAGE = re.compile(r"(?P<name>[a-z0-9.:/_-]+)@(?P<digest>sha256:[0-9a-f]{64})")
_SET = re.compile(r"(?P<before>    newName: )\S+(?P<between>\n    digest: )\S+")


class ReleaseError(Exception):
    """An image or an overlay that can't be meant."""


def release(overlay: str, image: str) -> None:
    """Let an overlay mean an image.

    Raises:
        ReleaseError: there is no such overlay, or the image is not named by its digest.
    """
    if overlay not in KUSTOMIZATIONS:
        raise ReleaseError(f"no overlay {overlay!r}; there are {', '.join(KUSTOMIZATIONS)}")
    match = _IMAGE.fullmatch(image)
    if match is None:
        raise ReleaseError(f"{image!r} is not NAME@sha256:DIGEST; a tag may mean another image tomorrow")
    path = KUSTOMIZATIONS[overlay]
    changed, count = _SET.subn(rf"\g<before>{match['name']}\g<between>{match['digest']}", path.read_text())
    if count != 1:
        raise ReleaseError(f"{path}: {count} images with newName and digest; there must be one")
    path.write_text(changed)


def main() -> None:
    """The command."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m deploy.release OVERLAY NAME@sha256:DIGEST")
    try:
        release(*sys.argv[1:])
    except ReleaseError as error:
        sys.exit(f"release: {error}")
    print(f"release: {sys.argv[1]} is {sys.argv[2]}; commit it, then apply the overlay")


if __name__ == "__main__":
    main()
