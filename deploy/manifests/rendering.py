"""Manifests, rendered by kustomize."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from deploy.manifests.pod_security import Manifest


class ManifestsError(Exception):
    """Manifests that can't be rendered; the message is kustomize's."""


def render(overlay: Path) -> list[Manifest]:
    """What an overlay amounts to.

    Raises:
        ManifestsError: it can't be rendered, say for want of a file.
    """
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    done = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ManifestsError(f"{overlay}: {done.stderr.strip().removeprefix('error: ')}")
    return list(yaml.safe_load_all(done.stdout))
