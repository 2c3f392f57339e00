"""The deployment page, as an operator takes it from a fresh clone: its commands run, in its order."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, checked_out
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.manifests.pod_security import Manifest
from deploy.manifests.references import reference_faults, unfinished
from deploy.manifests.rendering import render
from propensity.access.tokens import Tokens
from propensity.model.manifest import Manifest as ModelManifest
from propensity.model.signature import (
    PRIVATE_VARIABLE,
    PUBLIC_VARIABLE,
    SignatureError,
    new_key,
    sign,
    verify,
)

PAGE = (ROOT / "docs/deployment.md").read_text().partition("## On Kubernetes")[2]
BLOCKS = [
    block.removesuffix("\n") for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]
NEEDS = re.compile(r"# Needs (a cluster|the image's registry)\.\n")
HERE = [block for block in BLOCKS if not NEEDS.match(block)]
PRODUCTION = "deploy/k8s/overlays/production"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would check out, with what `make import` adds that these commands use."""
    folder = checked_out(tmp_path_factory.mktemp("clone"), "bin", "deploy", "propensity", "Makefile")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".local").mkdir()
    new_key(folder / ".local/signing-key")
    return folder


def run(block: str, clone: Path) -> str:
    """What a block prints, once what it leaves open is filled in; `make` must not install anything anew."""
    filled = block.replace("VERSION@", "1.4.0@").replace("DIGEST", "5" * 64)
    filled = filled.replace("make release", "make --old-file=.venv/.installed release")
    # As from a shell, also when the tests themselves are run by make.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PROPENSITY_", "MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", filled],
        cwd=clone, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{filled}\n{done.stderr}"
    return done.stdout


def test_every_block_runs_here_or_says_why_not() -> None:
    assert [block.splitlines()[0].split()[0] for block in HERE] == ["umask", "make", "bin/propensity", "cp"]
    for block in BLOCKS:
        needs_more = re.search(r"\bkubectl (?!kustomize)|\bmake image\b", block)
        assert bool(NEEDS.match(block)) == bool(needs_more), block


def certificate(folder: Path) -> None:
    """A certificate of a host that is nobody's, signed by itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tls.key").write_bytes(private)


def made(block: str, clone: Path) -> list[Manifest]:
    """What the `kubectl create` of a block would create, which takes no cluster to say."""
    commands = shlex.split(block.replace("\\\n", " "), comments=True)
    starts = [place for place, word in enumerate(commands) if word == "kubectl"]
    found = []
    for start, end in zip(starts, [*starts[1:], len(commands)], strict=True):
        words = [*commands[start + 1 : end], "--dry-run=client", "--output=yaml"]
        command = [str(ROOT / ".venv/bin/kubectl"), *words]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(yaml.safe_load(done.stdout))
    return found


@pytest.mark.thorough
def test_who_follows_the_page_has_all_that_the_pods_need(clone: Path) -> None:
    """The first time and each time: tokens, key, Secrets, release, check."""
    tokens, releasing = HERE[:2]
    callers_token = run(tokens, clone).strip()
    secrets = clone / PRODUCTION / "secrets"
    scrape_token = (secrets / "scrape-token").read_text()
    read = Tokens(secrets / "tokens")
    for token, name, scope in (
        (callers_token, "scoring-team", "predict"),
        (scrape_token, "prometheus", "metrics"),
    ):
        caller = asyncio.run(read.caller(token))
        assert caller is not None
        assert (caller.name, list(caller.scopes)) == (name, [scope])
    assert (secrets / "scrape-token").stat().st_mode & 0o077 == 0

    released, *checked = run(releasing, clone).splitlines()
    assert released.startswith("release: production is registry.bank.example/propensity:1.4.0@sha256:5555")
    assert checked[0].startswith("manifests: 13 without fault")
    assert [line.split(" must be ")[1] for line in checked[1:]] == [
        "the Secret propensity (tokens)",
        "the Secret propensity-scrape (token)",
        "the Secret propensity-tls (tls.crt, tls.key)",
    ]

    certificate(clone)
    (creating,) = [block for block in BLOCKS if "create namespace" in block]
    namespace, *created = made(creating, clone)
    manifests = render(clone / PRODUCTION)
    assert namespace["metadata"]["name"] == manifests[0]["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in created} == {namespace["metadata"]["name"]}
    assert unfinished([*manifests, *created]) == []
    assert reference_faults([*manifests, *created]) == []
    (deployment,) = [each for each in manifests if each["kind"] == "Deployment"]
    assert deployment["metadata"]["labels"]["app.kubernetes.io/version"] == "1.4.0"


def test_the_model_key_is_exchanged_as_the_page_says_with_both_keys_in_between(clone: Path) -> None:
    key = clone / PRODUCTION / "model-key.pub"
    old = (clone / ".local/signing-key.pub").read_text()
    key.write_text(old)
    for file in (".local/signing-key-new", ".local/signing-key-new.pub"):
        (clone / file).unlink(missing_ok=True)
    adding, leaving = HERE[2:]
    assert run(adding, clone).strip() == ".local/signing-key-new.pub"
    new = (clone / ".local/signing-key-new.pub").read_text()
    assert key.read_text() == old + new
    run(leaving, clone)
    assert key.read_text() == new != old
    # The release between them signs with the key that was made.
    (signing,) = [block for block in BLOCKS if "PROPENSITY_SIGNING_KEY=" in block]
    assert "PROPENSITY_SIGNING_KEY=$PWD/.local/signing-key-new make image\n" in signing


YAML = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)]


def test_while_both_keys_stand_a_release_can_be_taken_back_and_with_one_it_can_not(
    clone: Path, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exchange, by what the pods of the old and of the new image would do at each of its steps."""
    key = clone / PRODUCTION / "model-key.pub"
    key.write_text((clone / ".local/signing-key.pub").read_text())
    model, signed = "propensity:000000000000", ModelManifest.model_validate(manifest)
    for file in (".local/signing-key-new", ".local/signing-key-new.pub"):
        (clone / file).unlink(missing_ok=True)
    adding, leaving = HERE[2:]

    def starts(signature: bytes | None) -> bool:
        monkeypatch.setenv(PUBLIC_VARIABLE, str(key))
        try:
            verify(model, signed, signature)
        except SignatureError:
            return False
        return True

    def signature(name: str) -> bytes | None:
        monkeypatch.setenv(PRIVATE_VARIABLE, str(clone / ".local" / name))
        return sign(model, signed)

    old = signature("signing-key")
    assert starts(old)
    run(adding, clone)
    both, new = key.read_text(), signature("signing-key-new")
    assert starts(old)
    assert starts(new)
    run(leaving, clone)
    assert starts(new)
    assert not starts(old)
    key.write_text(both)
    assert starts(old)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_before_a_key_is_put_there_no_model_is_let_in(
    environment: str, manifest: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_key(tmp_path / "key")
    monkeypatch.setenv(PRIVATE_VARIABLE, str(tmp_path / "key"))
    signed = ModelManifest.model_validate(manifest)
    signature = sign("propensity:000000000000", signed)
    monkeypatch.setenv(PUBLIC_VARIABLE, str(ROOT / f"deploy/k8s/overlays/{environment}/model-key.pub"))
    with pytest.raises(SignatureError, match=r"model-key\.pub"):
        verify("propensity:000000000000", signed, signature)


def test_the_adapter_gives_the_autoscaler_the_metric_that_it_asks_for() -> None:
    (rule,) = YAML[0]
    autoscaler = yaml.safe_load((ROOT / "deploy/k8s/base/horizontalpodautoscaler.yaml").read_text())
    (asked,) = [each["pods"] for each in autoscaler["spec"]["metrics"] if each["type"] == "Pods"]
    assert rule["seriesQuery"].partition("{")[0] == asked["metric"]["name"]


def test_a_prometheus_can_be_told_to_expect_one_namespace_alone(clone: Path) -> None:
    _, patches = YAML
    kustomization = clone / "deploy/k8s/monitoring/kustomization.yaml"
    before = kustomization.read_text()
    (both,) = render(kustomization.parent)
    kustomization.write_text(before + yaml.safe_dump(patches))
    (one,) = render(kustomization.parent)
    kustomization.write_text(before)
    changed = [
        (rule["alert"], patched["expr"])
        for group, other in zip(both["spec"]["groups"], one["spec"]["groups"], strict=True)
        for rule, patched in zip(group["rules"], other["rules"], strict=True)
        if rule != patched
    ]
    assert changed == [
        ("PropensityDown", 'absent(propensity_model_info{namespace="propensity",track!="canary"})')
    ]
