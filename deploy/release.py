"""Sets the image of an overlay, by its digest: `python -m deploy.release OVERLAY NAME[:VERSION]@sha256:...`.

It is written into the overlay's release.yaml, with the version as a label (without one in the image's name,
the digest's beginning) and both as the cause that `kubectl rollout history` shows.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

K8S = Path(__file__).parent / "k8s"

RELEASES = {
    "staging": K8S / "overlays/staging/release.yaml",
    "production": K8S / "overlays/production/release.yaml",
    "canary": K8S / "components/canary/release.yaml",
}

# A version stands in a label, which takes less than a tag does.
_IMAGE = re.compile(
    r"(?P<name>[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*)"
    r"(:(?P<version>[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?))?"
    r"@(?P<digest>sha256:[0-9a-f]{64})"
)

_PATCH = """\
# Written by `make release`. A digest of zeros is no image's: it waits for a release.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {deployment}
  labels: &version
    app.kubernetes.io/version: "{version}"
  annotations:
    kubernetes.io/change-cause: release of {version}, {image}
spec:
  template:
    metadata:
      labels: *version
    spec:
      containers:
        - name: propensity
          image: {image}
"""


class ReleaseError(Exception):
    """An image or an overlay that can't be meant."""


def release(overlay: str, image: str) -> None:
    """Let an overlay mean an image.

    Raises:
        ReleaseError: there is no such overlay, or the image is not named by its digest.
    """
    if overlay not in RELEASES:
        raise ReleaseError(f"no overlay {overlay!r}; there are {', '.join(RELEASES)}")
    match = _IMAGE.fullmatch(image)
    if match is None:
        raise ReleaseError(
            f"{image!r} is not NAME@sha256:DIGEST or NAME:VERSION@sha256:DIGEST; a tag alone may mean another"
            " image tomorrow"
        )
    digest = match["digest"]
    RELEASES[overlay].write_text(
        _PATCH.format(
            deployment="propensity-canary" if overlay == "canary" else "propensity",
            version=match["version"] or digest.removeprefix("sha256:")[:12],
            image=f"{match['name']}@{digest}",
        ),
        encoding="utf-8",
    )


def main() -> None:
    """The command."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m deploy.release OVERLAY NAME[:VERSION]@sha256:DIGEST")
    try:
        release(*sys.argv[1:])
    except ReleaseError as error:
        sys.exit(f"release: {error}")
    print(f"release: {sys.argv[1]} is {sys.argv[2]}; commit it, then apply the overlay")


if __name__ == "__main__":
    main()
