"""The supply chain: the parts of the Bento are pinned, hashed and listed, and its model is signed."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore
from conftest import ROOT, few_generated_rows
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy import sbom
from import_model import import_model
from propensity.model import store
from propensity.model.signature import SignatureError, is_verified, new_key
from propensity.model.store import StoreError

SBOM = ROOT / "sbom.cdx.json"
LOCKS = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]
LIBRARIES = sorted((ROOT / "requirements").glob("*.txt"))
REGISTRIES = ["pypi.org", "pythonhosted.org", "--index-url", "--extra-index-url", "--find-links"]


def test_the_bill_of_materials_lists_exactly_what_is_locked() -> None:
    components = json.loads(SBOM.read_text())["components"]

    def listed(scope: str | None) -> set[str]:
        of_scope = [component for component in components if component.get("scope") == scope]
        return {f"{component['name']}=={component['version']}" for component in of_scope}

    def locked(path: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", path.read_text(), re.MULTILINE))

    required = locked(LOCKS[0])
    assert listed(None) == required
    assert listed("optional") == set().union(*map(locked, LIBRARIES)) - required
    assert len(components) > 50
    assert len([component for component in components if component.get("licenses")]) > 0.8 * len(components)


def test_the_bill_of_materials_is_valid_cyclonedx() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(SBOM.read_text()) is None


def test_the_bill_of_materials_is_made_of_the_lock_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sbom, "REQUIREMENTS", LOCKS[0])
    monkeypatch.setattr(sbom, "LIBRARIES", LIBRARIES[0].parent)
    monkeypatch.setattr(sbom, "SBOM", tmp_path / "sbom")
    sbom.main()
    assert (tmp_path / "sbom").read_bytes() == SBOM.read_bytes()


@pytest.mark.parametrize("lock", [*LOCKS, *LIBRARIES], ids=lambda path: path.name)
def test_everything_is_pinned_and_hashed_and_comes_from_no_named_registry(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert len(entries) > (50 if lock in LOCKS else 3)
    for entry in entries:
        assert re.match(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^ ]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert not [name for name in REGISTRIES if name in text]


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model store with a signed model, and its keys, for one test."""
    (tmp_path / "models").mkdir()
    BentoMLContainer.model_store.set(ModelStore(tmp_path / "models"))
    key = tmp_path / "key"
    monkeypatch.setenv("PROPENSITY_MODEL_KEY", str(new_key(key)))
    monkeypatch.setenv("PROPENSITY_SIGNING_KEY", str(key))
    with few_generated_rows():
        yield tmp_path
    BentoMLContainer.model_store.reset()


def test_a_signed_model_is_loaded_and_importing_it_again_keeps_it(own_store: Path, pickle_path: Path) -> None:
    model = bentoml.models.get(import_model(pickle_path))
    signature = Path(model.path_of("signature"))
    before = signature.stat().st_mtime_ns
    assert len(signature.read_bytes()) == 64
    store.load_predictor(model)
    import_model(pickle_path)
    assert signature.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("value: 0.26", "value: 0.99"),
        ("algorithm: gradient boosting", "algorithm: magic"),
        ("seed: 2026", "seed: 2026\n  added: later"),
    ],
)
def test_a_model_whose_manifest_was_changed_is_not_loaded(
    own_store: Path, pickle_path: Path, said: str, instead: str
) -> None:
    """As by somebody who can write to the store: the file still has the digest in the manifest."""
    model = bentoml.models.get(import_model(pickle_path))
    path = Path(model.path_of("model.yaml"))
    text = path.read_text()
    assert text.count(said) == 1
    path.write_text(text.replace(said, instead))
    with pytest.raises(StoreError, match=r"model\.yaml was changed, or it was signed with another key"):
        store.load_predictor(bentoml.models.get(model.tag))


def test_a_model_that_was_exchanged_as_a_whole_is_not_loaded(
    own_store: Path, pickle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported by somebody with another key."""
    public = os.environ["PROPENSITY_MODEL_KEY"]
    new_key(own_store / "theirs")
    monkeypatch.setenv("PROPENSITY_SIGNING_KEY", str(own_store / "theirs"))
    model = bentoml.models.get(import_model(pickle_path))
    with pytest.raises(StoreError, match=f"its signature is not of the key in {public}"):
        store.load_predictor(model)
    shutil.copy(own_store / "key", own_store / "theirs")
    store.load_predictor(bentoml.models.get(import_model(pickle_path)))


def test_a_key_is_rotated_and_rolled_back_with_two_keys_in_one_file(
    own_store: Path, pickle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_model = bentoml.models.get(import_model(pickle_path))
    served = own_store / "served"
    monkeypatch.setenv("PROPENSITY_MODEL_KEY", str(served))
    old, new = ((own_store / "key.pub").read_text(), new_key(own_store / "new").read_text())
    manifest = store.manifest_of(old_model)
    changed = manifest.model_copy(update={"threshold": manifest.threshold.model_copy(update={"value": 0.5})})
    monkeypatch.setenv("PROPENSITY_SIGNING_KEY", str(own_store / "new"))
    served.write_text(old)
    new_model = store.save(store.check(old_model), changed)
    with pytest.raises(StoreError, match=f"its signature is not of the key in {served}"):
        store.load_predictor(new_model)
    served.write_text(f"the old one\n{old}\nthe new one\n{new}")
    store.load_predictor(new_model)
    store.load_predictor(old_model)  # the rollback
    served.write_text(new)
    store.load_predictor(new_model)
    with pytest.raises(StoreError, match="signed with another key; import it again with the private key"):
        store.load_predictor(old_model)
    served.write_text(new_key(own_store / "third").read_text() + new)
    with pytest.raises(StoreError, match=f"not of any of the 2 keys in {served}"):
        store.load_predictor(old_model)
    for broken in (old + new[:60], old + (own_store / "key").read_text()):
        served.write_text(broken)
        with pytest.raises(StoreError, match=f"PROPENSITY_MODEL_KEY: {served}: .*not (a )?public key"):
            store.load_predictor(old_model)


def test_a_model_without_a_signature_is_not_loaded_where_one_is_asked_for(
    own_store: Path, pickle_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("PROPENSITY_SIGNING_KEY")
    model = bentoml.models.get(import_model(pickle_path))
    with pytest.raises(StoreError, match="has no signature; import it again, with PROPENSITY_SIGNING_KEY"):
        store.load_predictor(model)
    assert is_verified()
    monkeypatch.delenv("PROPENSITY_MODEL_KEY")
    store.load_predictor(model)
    assert not is_verified()
    assert "signature not verified, since PROPENSITY_MODEL_KEY is not set" in caplog.text


def test_a_key_that_can_not_be_used_is_named(
    own_store: Path, pickle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bentoml.models.get(import_model(pickle_path))
    (own_store / "broken").write_text("no key")
    for path in ("absent", "broken", "key"):
        monkeypatch.setenv("PROPENSITY_MODEL_KEY", str(own_store / path))
        with pytest.raises(StoreError, match=f"PROPENSITY_MODEL_KEY: .*{path}: .*name the "):
            store.load_predictor(model)
    for path in ("absent", "broken", "key.pub"):
        monkeypatch.setenv("PROPENSITY_SIGNING_KEY", str(own_store / path))
        with pytest.raises(
            SignatureError, match=f"PROPENSITY_SIGNING_KEY: .*{path}: .*(name the file|make a pair with)"
        ):
            import_model(pickle_path)


def signature_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "propensity", "sign", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip


def test_the_command_makes_a_pair_once(tmp_path: Path) -> None:
    first = signature_command("new", str(tmp_path / "key"))
    again = signature_command("new", str(tmp_path / "key"))
    assert (first.returncode, first.stdout, first.stderr) == (0, f"{tmp_path}/key.pub\n", "")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"propensity sign: {tmp_path}/key: File exists\n"


def undeclared(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deptry", "--no-ansi", str(folder)]
    command += ["--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("imported", "said"),
    [
        ("simple_di", "DEP003 'simple_di' imported but it is a transitive dependency"),
        ("psutil", "DEP004 'psutil' imported but declared as a dev dependency"),
        ("nowhere", "DEP001 'nowhere' imported but missing"),
    ],
)
def test_a_package_that_serving_imports_and_nobody_declares_is_found(
    tmp_path: Path, imported: str, said: str
) -> None:
    (tmp_path / "propensity").mkdir()
    (tmp_path / "propensity" / "new.py").write_text(f"import starlette\nimport {imported}\n")
    done = undeclared(tmp_path / "propensity")
    assert done.returncode == 1
    assert said in done.stderr
    assert "'starlette'" not in done.stderr
