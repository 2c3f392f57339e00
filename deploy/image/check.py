"""Builds the image where no engine runs, starts its server, and predicts: `python -m deploy.image.check`.

buildah builds with chroot isolation. Where the base can't be pulled, Debian's own Python takes its name: what
is seen then is that the Dockerfile builds, and that what it builds serves; not that base. The container is
the image's tree, mounted read-only, with a tmpfs on /tmp and secrets in /run/secrets, entered as its user,
without capabilities, and started by its own entry point. The image itself makes the token; it has to refuse a
model that another key has signed, and to say what it lacks without a tmpfs. Needs root, and Debian's buildah
and debootstrap.

With --record, BentoML's own Dockerfile is built on the same base too, and the sizes of both are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from deploy.image import DOCKERFILE, HERE, ImageError, build, context, latest_bento, models_of
from load_tests.compare.server import free_port
from propensity.model import store
from propensity.model.signature import PUBLIC_VARIABLE, new_key
from propensity.serving.health import LOOPBACK, is_ready

RECORD = HERE / "image.json"
READY_SECONDS = 60
DEBIAN = "http://deb.debian.org/debian"
RELEASE = "bookworm"
"""The release of Debian in the base image, and in a base that is made here."""


def _run(*command: str, quiet: bool = True) -> str:
    """What a command prints.

    Raises:
        ImageError: it has failed.
    """
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True, check=False
    )
    if done.returncode != 0:
        raise ImageError(
            f"{' '.join(command[:3])} ...: {(done.stderr or '').strip()[-2000:] or done.returncode}"
        )
    return done.stdout.strip()


def _base() -> tuple[str, str]:
    """The base that the Dockerfile asks for, and where it came from."""
    match = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    if match is None:
        raise ImageError(f"{DOCKERFILE}: no ARG BASE")
    base = match[1]
    here = subprocess.run(
        ["buildah", "inspect", "--type", "image", base], capture_output=True, text=True, check=False
    )
    if here.returncode == 0:
        origin = json.loads(here.stdout)["Docker"]["config"].get("Labels") or {}
        return base, origin.get("propensity.base", "pulled")
    try:
        _run("buildah", "pull", "--quiet", base)
    except ImageError:
        print(f"image: {base} can't be pulled; making one of Debian's {RELEASE}", flush=True)
        _debian(base)
        return base, f"Debian {RELEASE}"
    return base, "pulled"


def _debian(name: str) -> None:
    with TemporaryDirectory(prefix="propensity-base-") as folder:
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        _run("debootstrap", "--variant=minbase", f"--include={packages}", RELEASE, folder, DEBIAN)
        # Of this machine, by debootstrap; and what an image of Debian's leaves out as well.
        for path in ("etc/resolv.conf", "etc/hostname"):
            Path(folder, path).write_text("")
        for path in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(Path(folder, path))
            Path(folder, path).mkdir()
        # As in the base that it stands for, where pip installs without asking.
        Path(folder, "usr/bin/python").symlink_to("python3")
        Path(folder, "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
        container = _run("buildah", "from", "scratch")
        _run("buildah", "copy", "--quiet", container, folder, "/")
        _run("buildah", "config", "--label", f"propensity.base=Debian {RELEASE}", container)
        _run("buildah", "commit", "--quiet", "--rm", container, name)


@contextmanager
def _settings_of_this_machine() -> Iterator[list[str]]:
    """How this machine reaches package registries, mounted while building and never part of the image."""
    bundle = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    with TemporaryDirectory(prefix="propensity-settings-") as folder:
        Path(folder, "pip.conf").write_text(f"[global]\ncert = {bundle}\n")
        Path(folder, "uv.toml").write_text("system-certs = true\n")
        mounts = {
            bundle: bundle,
            f"{folder}/pip.conf": "/etc/pip.conf",
            f"{folder}/uv.toml": "/etc/uv/uv.toml",
        }
        yield [part for source, target in mounts.items() for part in ("--volume", f"{source}:{target}:ro")]


@contextmanager
def mounted(image: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The tree of an image, and what it says of itself."""
    container = _run("buildah", "from", "--pull-never", image)
    try:
        configuration = json.loads(_run("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
        yield Path(_run("buildah", "mount", container)), configuration
    finally:
        _run("buildah", "rm", container)


_ENTER = """
echo '127.0.0.1 localhost' >"$0/etc/hosts"
mount --make-rprivate /
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"
[ "$2" = read-only ] || { mount -t tmpfs tmpfs "$0/tmp" && chmod 1777 "$0/tmp"; }
mount -t tmpfs tmpfs "$0/run" && mkdir -p "$0/run/secrets/propensity"
mount --bind "$1" "$0/run/secrets/propensity"
mount -o remount,ro "$0/run"
mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev"
shift 2
exec chroot "$0" "$@"
"""
"""Makes the container as an engine would; what it changes is seen by nobody else and ends with it."""

SECRETS = "/run/secrets/propensity"


@dataclass(frozen=True)
class Container:
    """The image as a container that an engine would make: read-only, without capabilities.

    Attributes:
        root: its tree.
        configuration: what the image says of itself.
        secrets: the folder that is mounted as `SECRETS`.
    """

    root: Path
    configuration: dict[str, Any]
    secrets: Path

    def command(
        self, *arguments: str, environment: Mapping[str, str], user: str = "", has_tmp: bool = True
    ) -> list[str]:
        """What starts it, as `docker run IMAGE ARGUMENTS` would.

        Args:
            arguments: for its entry point.
            environment: on top of the image's.
            user: in the place of the image's.
            has_tmp: whether there is a tmpfs on /tmp.
        """
        user, _, group = (user or self.configuration["User"]).partition(":")
        become = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={group or user}",
            "--clear-groups",
            "--no-new-privs",
        ]
        become += ["--bounding-set=-all", "--inh-caps=-all"]
        named = [f"{name}={value}" for name, value in environment.items()]
        within = f'cd {self.configuration["WorkingDir"]} && exec "$@"'
        inside = ["env", "-i", *self.configuration["Env"], *named, "sh", "-c", within, "sh"]
        enter = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-euc",
            _ENTER,
            str(self.root),
        ]
        enter += [str(self.secrets), "with-tmp" if has_tmp else "read-only"]
        return [*enter, *become, *inside, *self.configuration["Entrypoint"], *arguments]

    @contextmanager
    def started(self, environment: Mapping[str, str]) -> Iterator[tuple[int, float]]:
        """The server, ready; gives its port, and the seconds that it took.

        Raises:
            ImageError: it does not get ready.
        """
        port = free_port()
        own = {**environment, "BENTOML_PORT": str(port)}
        begun = time.monotonic()
        server = subprocess.Popen(self.command(environment=own), start_new_session=True)
        try:
            while not is_ready(f"http://127.0.0.1:{port}"):
                if server.poll() is not None or time.monotonic() - begun > READY_SECONDS:
                    raise ImageError(
                        f"the server in the image did not get ready within {READY_SECONDS} s; see above"
                    )
                time.sleep(0.02)
            seconds = time.monotonic() - begun
            check = self.configuration["Healthcheck"]["Test"][1:]
            proxy = {"http_proxy": "http://127.0.0.1:9"}
            within = ["nsenter", f"--target={_first_process(server)}", "--mount", "--pid"]
            named = [f"{name}={value}" for name, value in (own | proxy).items()]
            _run(*within, "chroot", str(self.root), "env", "-i", *self.configuration["Env"], *named, *check)
            yield port, seconds
        finally:
            _stop(server)

    def refusal(self, environment: Mapping[str, str], has_tmp: bool = True) -> str:
        """What a server says that does not start.

        Raises:
            ImageError: it starts, or says more than one line.
        """
        command = self.command(environment=environment, has_tmp=has_tmp)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ImageError("the server in the image starts, and must not") from None
        lines = done.stderr.strip().splitlines()
        if done.returncode == 0 or len(lines) != 1:
            raise ImageError(f"the server in the image ends with {done.returncode}, and says {done.stderr}")
        return lines[0]


def _first_process(server: subprocess.Popen[bytes]) -> int:
    (first,) = psutil.Process(server.pid).children()
    return int(first.pid)


def _stop(server: subprocess.Popen[bytes]) -> None:
    # To the container's first process, as an engine would; `unshare` itself ends when that has.
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(server.pid).children():
            child.terminate()
    try:
        server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.kill()
        raise ImageError("the server in the image did not end within 30 s of SIGTERM") from None


def _predict(port: int, token: str, row: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", json.dumps(row).encode(), headers)
    with LOOPBACK.open(request, timeout=10) as answer:
        prediction: dict[str, Any] = json.loads(answer.read())
        return prediction


def _megabytes(root: Path) -> float:
    """What the files of a tree take, each once."""
    sizes = {}
    for folder, _, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 — a hundred thousand of them
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values()) / 1e6


def _mint(container: Container) -> str:
    """A token, made by the image itself for who runs it."""
    arguments = ["propensity", "tokens", "new", "check", "--scope", "predict"]
    return _run(*container.command(*arguments, environment={}, user="0"))


def _model_keys(container: Container) -> dict[str, str]:
    """The key that the model is signed with, as a setting; sees that the image refuses another.

    Raises:
        ImageError: it does not, or there is no key.
    """
    key = os.environ.get(PUBLIC_VARIABLE)
    if not key:
        raise ImageError(f"{PUBLIC_VARIABLE} is not set; `make image-check` sets it")
    shutil.copy(key, container.secrets / "model-key.pub")
    other = new_key(container.secrets / "other-key")
    refused = container.refusal({PUBLIC_VARIABLE: f"{SECRETS}/{other.name}"})
    if "signature" not in refused:
        raise ImageError(f"with a key that did not sign the model the image says {refused}")
    settings = {PUBLIC_VARIABLE: f"{SECRETS}/model-key.pub"}
    refused = container.refusal(settings, has_tmp=False)
    if "--tmpfs /tmp" not in refused:
        raise ImageError(f"without a place to write to the image says {refused}")
    return settings


def check(record: bool) -> None:
    """The command's work.

    Raises:
        ImageError: something is not as it must be.
    """
    bento = latest_bento()
    base, origin = _base()
    print(f"image: the base {base}: {origin}", flush=True)
    with _settings_of_this_machine() as settings:
        options = ["--isolation", "chroot", "--pull-never", "--layers", *settings]
        name = build(bento, "buildah", options)
        found: dict[str, Any] = {"base": base, "base_is": origin}
        with mounted(base) as (root, _):
            found["base_mb"] = round(_megabytes(root))
        with mounted(name) as (root, configuration), TemporaryDirectory() as folder:
            found["image_mb"] = round(_megabytes(root))
            secrets = Path(folder)
            secrets.chmod(0o755)
            container = Container(root, configuration, secrets)
            token = _mint(container)
            signed = _model_keys(container)
            model = models_of(bento)[-1]
            contract = store.manifest_of(model).contract
            features = contract.encode([contract.example])
            expected = float(store.load_predictor(model).predict(features)[0])
            with container.started(signed) as (port, seconds):
                found["start_seconds"] = round(seconds, 2)
                prediction = _predict(port, token, contract.example)
        print(
            f"image: {name}, {found['image_mb']} MB, ready after {found['start_seconds']} s: {prediction}",
            flush=True,
        )
        if prediction["propensity"] != expected or prediction["model"] != str(model.tag):
            raise ImageError(f"the image predicts {prediction}, the model in process {expected}")
        if record:
            with context(bento) as folder:
                file = str(folder / "env/docker/Dockerfile")
                default = f"{name}-default"
                # The one line of it that names another base.
                content = re.sub(
                    r"^FROM \S+", f"FROM {base}", Path(file).read_text(), count=1, flags=re.MULTILINE
                )
                Path(file).write_text(content)
                _run("buildah", "build", *options, "--file", file, "--tag", default, str(folder), quiet=False)
            with mounted(default) as (root, _):
                found["default_mb"] = round(_megabytes(root))
            RECORD.write_text(json.dumps(found, indent=1) + "\n")
            print(f"image: {found['image_mb']} MB; BentoML's own Dockerfile makes {found['default_mb']} MB")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.image.check", description="Builds and runs the image."
    )
    parser.add_argument("--record", action="store_true", help=f"measure, and write {RECORD.name}")
    arguments = parser.parse_args()
    try:
        missing = [each for each in ("buildah", "debootstrap", "unshare") if not shutil.which(each)]
        if missing or os.geteuid() != 0:
            raise ImageError(f"needs root, and {', '.join(missing) or 'nothing else'} (Debian: apt install)")
        check(arguments.record)
    except ImageError as error:
        sys.exit(f"image: {error}")


if __name__ == "__main__":
    main()
