"""The image of the built Bento.

    python -m deploy.image                 # with whatever engine is there
    python -m deploy.image.check           # builds it here, without an engine, and predicts with it

The base is pinned by its tag in the Dockerfile; `BASE=...@sha256:...` pins it by digest.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import bentoml
from bentoml.exceptions import NotFound

from propensity.model import store

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "propensity"
"""Of the service, and so of its Bento and of the image."""

DOCKERFILE = HERE / "Dockerfile"
ENTRYPOINT = HERE / "entrypoint.sh"


class ImageError(Exception):
    """An image that can't be built or run; the message says why, and the way out."""


def latest_bento() -> bentoml.Bento:
    """The Bento that was built last.

    Raises:
        ImageError: there is none.
    """
    try:
        return bentoml.get(f"{NAME}:latest")
    except NotFound as error:
        raise ImageError("no Bento in the store; `make build` builds one, `make image` does both") from error


def models_of(bento: bentoml.Bento) -> list[bentoml.Model]:
    """The models that a Bento was built with: the one that it serves is the last, behind a challenger."""
    (service,) = bento.info.services
    return [bentoml.models.get(model.tag) for model in service.models]


@contextmanager
def context(bento: bentoml.Bento) -> Iterator[Path]:
    """The Bento's folder with its models, where a served Bento looks for them first, and the entry point."""
    with TemporaryDirectory(prefix="propensity-image-") as folder:
        shutil.copytree(bento.path, folder, dirs_exist_ok=True)
        for model in models_of(bento):
            shutil.copytree(model.path, Path(folder, "models", model.tag.path()))
        shutil.copy(ENTRYPOINT, folder)
        # Stores are their owner's; in the image another user reads them, and nobody writes.
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        yield Path(folder)


def labels(bento: bentoml.Bento) -> dict[str, str]:
    """What the image says of itself, in the words of the OCI."""
    model = models_of(bento)[-1]
    manifest = store.manifest_of(model)
    return {
        "org.opencontainers.image.title": "propensity-bento",
        "org.opencontainers.image.description": f"{manifest.contract.title}, as an API",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": bento.tag.version or "",
        "org.opencontainers.image.created": bento.info.creation_time.isoformat(),
        "org.opencontainers.image.revision": _revision(),
        "propensity.model": str(model.tag),
        "propensity.pickle.sha256": manifest.pickle.sha256,
    }


def _revision() -> str:
    described = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


ENGINES = {
    "docker": ["docker", "build"],
    "podman": ["podman", "build", "--format", "docker"],
    "buildah": ["buildah", "build", "--format", "docker"],
}
"""How each builds. The OCI format knows no HEALTHCHECK; Docker's own does."""


def engine() -> str:
    """An engine that is here and answers.

    Raises:
        ImageError: there is none.
    """
    for name in ENGINES:
        if (
            shutil.which(name)
            and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0
        ):
            return name
    raise ImageError(
        f"none of {', '.join(ENGINES)} is here and answers; install one, or see what runs without any:"
        " `make image-check`"
    )


def build(bento: bentoml.Bento, using: str, options: Sequence[str] = ()) -> str:
    """Build the image, and give its name.

    Args:
        bento: what goes into it.
        using: the engine.
        options: more for the engine.

    Raises:
        ImageError: the engine has failed; what it said stands above.
    """
    name = f"{NAME}:{bento.tag.version}"
    label = [part for key, value in labels(bento).items() for part in ("--label", f"{key}={value}")]
    with context(bento) as folder:
        command = [*ENGINES[using], *options, *label, "--file", str(DOCKERFILE), "--tag", name, str(folder)]
        if subprocess.run(command, check=False).returncode != 0:
            raise ImageError(f"{using} could not build {name}; what it says stands above")
    return name
