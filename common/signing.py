"""The signature under a node's reports: Ed25519 over the node's name and the body's SHA-256.

A report may be repeated by anyone who has seen it: it says the same again, and changes nothing.
"""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cronkeeper.common.errors import Invalid

NODE_HEADER = "Cronkeeper-Node"
SIGNATURE_HEADER = "Cronkeeper-Signature"
_CONTEXT = "cronkeeper report 1"


class NodeKey:
    """A node's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> "NodeKey":
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "NodeKey":
        """Read it from a PEM file.

        Raises:
            Invalid: there is no such file, others may read it, or it holds something else.
        """
        try:
            if path.stat().st_mode & 0o077:
                raise Invalid(f"the node's key {path} can be read by others: chmod 600 {path}")
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise Invalid(f"the node's key {path} can't be read: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Invalid(f"{path} is no Ed25519 key; make one with: cronkeeper node add")
        return cls(key)

    def save(self, path: Path) -> None:
        """Write it as PEM to a new file that only its owner can read. Raises: FileExistsError."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @property
    def public(self) -> str:
        """The public key: base64 of its 32 bytes."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    def sign(self, node: str, body: bytes) -> str:
        """The signature of a report's body, base64."""
        return base64.b64encode(self._key.sign(_signed(node, body))).decode()


def verify(public_key: str, node: str, body: bytes, signature: str) -> bool:
    """Whether the node of this public key signed this body."""
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), _signed(node, body))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(node: str, body: bytes) -> bytes:
    return f"{_CONTEXT}\n{node}\n{hashlib.sha256(body).hexdigest()}".encode()
