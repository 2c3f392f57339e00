"""The signature of a model: made when it is imported, verified before it is loaded.

    propensity sign new signing-key      # writes signing-key and signing-key.pub

The import signs with the private key in the file that `PROPENSITY_SIGNING_KEY` names. The service verifies
with the public key in the file that `PROPENSITY_MODEL_KEY` names, or with any of several while a key is
replaced. The signature (Ed25519) covers the tag and the whole manifest, including the digest of the file that
is loaded, the threshold, and the metrics. docs/adr/0005-model-signature.md has the reasons.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from propensity.model.manifest import Manifest
from propensity.settings import unreadable

PRIVATE_VARIABLE = "PROPENSITY_SIGNING_KEY"
PUBLIC_VARIABLE = "PROPENSITY_MODEL_KEY"

FILE = "signature"
"""Name of the file, in the folder of a stored model, that holds its signature of 64 bytes."""

logger = logging.getLogger("bentoml.propensity")


class SignatureError(Exception):
    """A model is not trusted, or a key can't be used; the message says why and what to do."""


def sign(tag: str, manifest: Manifest) -> bytes | None:
    """Return the signature of a model; None without a key to sign with.

    Raises:
        SignatureError: the private key can't be read.
    """
    path = os.environ.get(PRIVATE_VARIABLE)
    return _private_key(path).sign(_statement(tag, manifest)) if path else None


def is_signed(tag: str, manifest: Manifest, signature: bytes | None) -> bool:
    """Whether this is the signature that `sign` would make; always true without a key to sign with.

    Raises:
        SignatureError: the private key can't be read.
    """
    return sign(tag, manifest) in {None, signature}


def verify(tag: str, manifest: Manifest, signature: bytes | None) -> None:
    """Verify the signature of a model; without a public key, log that it was not verified.

    Raises:
        SignatureError: the model is not signed, or not with a key that is trusted; or the public keys can't
            be read.
    """
    path = os.environ.get(PUBLIC_VARIABLE)
    if not path:
        logger.warning("model %s: signature not verified, since %s is not set", tag, PUBLIC_VARIABLE)
        return
    if signature is None:
        raise SignatureError(f"it has no signature; import it again, with {PRIVATE_VARIABLE} set")
    statement = _statement(tag, manifest)
    keys = _public_keys(path)
    if not any(_has_signed(key, signature, statement) for key in keys):
        which = "the key" if len(keys) == 1 else f"any of the {len(keys)} keys"
        raise SignatureError(
            f"its signature is not of {which} in {path}: model.yaml was changed, or it was signed with"
            " another key; import it again with the private key of one of these, or add the public key of"
            f" the one that signed it to the file of {PUBLIC_VARIABLE}"
        )


def is_verified() -> bool:
    """Whether the signature of a loaded model was verified: it would not be loaded with a wrong one."""
    return bool(os.environ.get(PUBLIC_VARIABLE))


def _has_signed(key: Ed25519PublicKey, signature: bytes, statement: bytes) -> bool:
    try:
        key.verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def _statement(tag: str, manifest: Manifest) -> bytes:
    content = {"model": tag, "manifest": manifest.model_dump(mode="json", exclude_none=True)}
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _private_key(path: str) -> Ed25519PrivateKey:
    content = _read(PRIVATE_VARIABLE, path, "the private key to sign with")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{PRIVATE_VARIABLE}: {path}: not a private key in PEM; {_HOW_TO}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{PRIVATE_VARIABLE}: {path}: not an Ed25519 key; {_HOW_TO}")
    return key


def _public_keys(path: str) -> list[Ed25519PublicKey]:
    """Return the keys in a file: one, or several while a key is replaced."""
    content = _read(PUBLIC_VARIABLE, path, _PUBLIC)
    blocks = [block[0] for block in _PEM.finditer(content)]
    where = f"{PUBLIC_VARIABLE}: {path}"
    if not blocks or content.count(b"-----BEGIN ") != len(blocks):
        raise SignatureError(f"{where}: not public keys in PEM; name {_PUBLIC}")
    keys = []
    for number, block in enumerate(blocks, start=1):
        try:
            key = serialization.load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SignatureError(f"{where}: block {number} is not a public key; name {_PUBLIC}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise SignatureError(f"{where}: block {number} is not an Ed25519 key; name {_PUBLIC}")
        keys.append(key)
    return keys


def _read(variable: str, path: str, wanted: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SignatureError(f"{variable}: {path}: {unreadable(error)}; name the file of {wanted}") from error


_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_PUBLIC = "the public key (.pub) that belongs to the private key the model was signed with"
_HOW_TO = "make a pair with `propensity sign new FILE`"


def new_key(path: Path) -> Path:
    """Write a private key that only its owner can read, and the public key beside it.

    Returns:
        Path of the public key.

    Raises:
        SignatureError: the private key exists, or a file can't be written.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public_path = path.with_name(f"{path.name}.pub")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        public_path.write_bytes(public)
    except OSError as error:
        raise SignatureError(f"{error.filename}: {error.strerror}") from error
    return public_path


def run(path: Path) -> None:
    """Run the command `sign new`."""
    try:
        print(new_key(path))
    except SignatureError as error:
        sys.exit(f"propensity sign: {error}")
