"""The image: its recipe, and what goes into it. That it builds and predicts is for `make image-check`."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bentoml
import pytest
from bentoml.exceptions import BentoMLException
from conftest import PREDICT_TOKEN, ROOT, another_user

from deploy import image
from deploy.image import DOCKERFILE, ImageError
from deploy.image.check import RECORD
from propensity.access.configuration import authorities
from propensity.evaluation.client import Api
from propensity.model import store
from propensity.model.signature import new_key
from propensity.serving import health
from propensity.settings import check_names, one_of

HADOLINT = str(Path(sys.executable).with_name("hadolint"))


@pytest.fixture
def built(bento: Path) -> bentoml.Bento:
    return bentoml.get(f"propensity:{bento.name}")


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} (.+)$", joined, re.MULTILINE)


def test_the_image_runs_as_nobody_of_the_host_and_says_when_it_is_well() -> None:
    assert instructions("USER") == ["10340:10340"]
    assert "--uid 10340" in DOCKERFILE.read_text()
    (health,) = instructions("HEALTHCHECK")
    assert health.endswith('CMD ["propensity", "health"]')
    assert instructions("ENTRYPOINT") == ['["sh", "/srv/propensity/entrypoint.sh"]']
    (base,) = instructions("ARG")
    assert re.fullmatch(r"BASE=\S+:3\.\d+\.\d+-slim-\w+", base)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("ARG BASE=docker.io/library/python:3.11.14-slim-bookworm", "", "DL3006"),
        ("USER 10340:10340", "USER root", "DL3002"),
        ('ENTRYPOINT ["sh", "/srv/propensity/entrypoint.sh"]', "ENTRYPOINT sh entrypoint.sh", "DL3025"),
    ],
)
def test_hadolint_finds_what_is_wrong_with_a_recipe(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    recipe = DOCKERFILE.read_text()
    assert right in recipe
    changed = recipe.replace(right, wrong)
    if not wrong:
        changed = changed.replace("${BASE}", "python")
    (tmp_path / "Dockerfile").write_text(changed)
    done = subprocess.run(
        [HADOLINT, str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said in done.stdout
    assert subprocess.run([HADOLINT, str(DOCKERFILE)], capture_output=True, check=False).returncode == 0


def test_what_the_image_is_built_of_holds_the_model_and_can_be_read_by_any_user(
    built: bentoml.Bento, tag: str
) -> None:
    with image.context(built) as folder:
        name, version = tag.split(":")
        assert (folder / "models" / name / version / "model.npz").is_file()
        assert (folder / "src/service.py").is_file()
        assert (folder / "entrypoint.sh").is_file()
        paths = list(folder.rglob("*"))
        assert len(paths) > 40
        for path in [folder, *paths]:
            modes = {0o755} if path.is_dir() else {0o755, 0o644}
            assert path.stat().st_mode & 0o777 in modes, path
        assert (folder / "src/bin/propensity").stat().st_mode & 0o777 == 0o755
    assert not folder.exists()


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        ("bentoml\0serve\0/srv/propensity\0--host\x000.0.0.0\0", None, 3000),
        ("bentoml\0serve\0/srv/propensity\0", "8080", 8080),
        ("bentoml\0serve\0/srv/propensity\0--port\x008081\0", "8080", 8081),
        ("bentoml\0serve\0/srv/propensity\0--port=8082\0", None, 8082),
        ("tini\0--\0sh\0entrypoint.sh\0-p\x008083\0", None, 8083),
    ],
)
def test_the_health_check_follows_the_port(command: str, environment: str | None, expected: int) -> None:
    assert health.port(command, environment) == expected


def test_what_is_there_and_is_not_the_service_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"\xff\0\0\0\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert not health.is_ready(f"http://127.0.0.1:{other.getsockname()[1]}")
        thread.join()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_what_is_on_this_machine_is_never_asked_through_a_proxy(
    server: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert health.is_ready(server)
    with Api(server, PREDICT_TOKEN) as api:
        assert api.model_card().tag


def entrypoint(tmp_path: Path, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The entry point, with a `bentoml` that says how it was called."""
    (tmp_path / "bentoml").write_text('#!/bin/sh\necho bentoml "$@"\n')
    (tmp_path / "bentoml").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BENTOML_HOME": str(home)}
    command = ["sh", str(image.ENTRYPOINT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        ([], "bentoml serve /srv/propensity"),
        (["--port", "8080"], "bentoml serve /srv/propensity --port 8080"),
        (["echo", "a  b", "-x"], "a  b -x"),
    ],
)
def test_options_are_the_servers_and_anything_else_is_a_command(
    tmp_path: Path, arguments: list[str], started: str
) -> None:
    done = entrypoint(tmp_path, *arguments, home=tmp_path / "home")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{started}\n", "")


def test_a_home_that_can_not_be_written_to_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = entrypoint(tmp_path, home=tmp_path / "file" / "bentoml")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"propensity: BENTOML_HOME, {tmp_path}/file/bentoml, can't be written to; with --read-only, add"
        " --tmpfs /tmp\n"
    )


def test_the_image_says_what_it_is_made_of(built: bentoml.Bento, tag: str, bento: Path) -> None:
    labels = image.labels(built)
    assert labels["propensity.model"] == tag
    assert labels["org.opencontainers.image.version"] == bento.name
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert len(labels["propensity.pickle.sha256"]) == 64


def test_an_engine_that_does_not_answer_is_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(image, "ENGINES", {name: image.ENGINES[name] for name in ("docker", "podman")})
    with pytest.raises(ImageError, match="none of docker, podman is here and answers"):
        image.engine()
    (tmp_path / "podman").write_text("#!/bin/sh\nexit 0\n")
    assert image.engine() == "podman"


def test_an_engine_that_fails_is_an_error_and_gets_labels_recipe_and_name(
    built: bentoml.Bento, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "podman").write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    (tmp_path / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ImageError, match=f"podman could not build propensity:{built.tag.version}"):
        image.build(built, "podman", ["--build-arg", "BASE=other"])
    said = capfd.readouterr().out
    assert said.startswith(
        "build --format docker --build-arg BASE=other --label org.opencontainers.image.title="
    )
    assert f"--file {DOCKERFILE} --tag propensity:{built.tag.version} " in said


def test_the_measured_image_is_at_most_a_third_of_bentomls_own_and_the_page_says_so() -> None:
    measured = json.loads(RECORD.read_bytes())
    assert measured["image_mb"] <= measured["default_mb"] / 3
    assert measured["start_seconds"] <= 3
    page = (ROOT / "docs/deployment.md").read_text()
    for name in ("base_mb", "image_mb", "default_mb"):
        assert f"| {measured[name]:,} MB |" in page
    assert f"{measured['start_seconds']} s" in page


def refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> list[str]:
    """What the image says when it does not start, one after the other."""
    tokens, key = tmp_path / "tokens", tmp_path / "key"
    monkeypatch.setenv("PROPENSITY_TOKENS_FILE", str(tokens))
    said = [entrypoint(tmp_path, home=Path("/proc/none")).stderr]

    def refused(check: Callable[[], object]) -> None:
        with pytest.raises(BentoMLException) as caught:
            check()
        said.append(str(caught.value))

    refused(authorities)
    tokens.mkdir()
    refused(authorities)
    tokens.rmdir()
    for content in ("scoring-team\n", "# none yet\n"):
        tokens.write_text(content)
        refused(authorities)
    tokens.chmod(0)
    with another_user():
        refused(authorities)
    model = bentoml.models.get(tag)
    (tmp_path / "none.pub").write_text("no key")
    for path in (tmp_path / "absent.pub", tmp_path / "none.pub", new_key(key)):
        monkeypatch.setenv("PROPENSITY_MODEL_KEY", str(path))
        refused(partial(store.check, model))
    unsigned = tmp_path / "unsigned"
    shutil.copytree(model.path, unsigned)
    (unsigned / "signature").unlink()
    refused(partial(store.check, bentoml.Model.from_path(unsigned)))
    monkeypatch.setenv("PROPENSITY_MAX_LATENCY", "3")
    refused(check_names)
    monkeypatch.setenv("PROPENSITY_LOG_LEVEL", "loud")
    refused(partial(one_of, "PROPENSITY_LOG_LEVEL", "info", "info"))
    return said


def test_the_page_explains_each_line_that_the_image_says_when_it_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    said = refusals(tmp_path, monkeypatch, tag)
    rows = re.findall(r"^\| `([^|]+)` \| ", (image.HERE / "README.md").read_text(), re.MULTILINE)
    explained = []
    for row in rows:
        words = (
            row.replace("/tmp/bentoml", "/proc/none").replace("10340", "...").replace("line N", "line ...")
        )
        explained.append(re.compile(".*".join(map(re.escape, words.split("...")))))
    # Of a worker that can't start there is a test in test_supervision.py.
    assert rows[-2] == "no worker could start"
    unexplained = [line for line in said if not any(pattern.search(line) for pattern in explained)]
    assert unexplained == []
    unheard = [
        row for row, pattern in zip(rows, explained, strict=True) if not any(map(pattern.search, said))
    ]
    assert unheard == ["no worker could start"]
