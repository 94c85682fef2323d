"""The signature under a node's reports, and the file that its key lies in."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cronkeeper.common.errors import Invalid
from cronkeeper.common.signing import NodeKey, verify

BODY = b'[{"run_id": "1.1.hand-x.1"}]'


def test_what_a_node_signed_is_known_to_be_its_own() -> None:
    key = NodeKey.generate()
    assert verify(key.public, "alpha", BODY, key.sign("alpha", BODY))


@pytest.mark.parametrize(("node", "body"), [("beta", BODY), ("alpha", BODY + b" "), ("alpha", b"")])
def test_neither_node_nor_body_can_be_exchanged(node: str, body: bytes) -> None:
    key = NodeKey.generate()
    assert not verify(key.public, node, body, key.sign("alpha", BODY))


def test_another_nodes_key_signs_for_nobody_else() -> None:
    assert not verify(NodeKey.generate().public, "alpha", BODY, NodeKey.generate().sign("alpha", BODY))


@pytest.mark.parametrize("signature", ["", "!", "AAAA", "é"])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    assert not verify(NodeKey.generate().public, "alpha", BODY, signature)


@pytest.mark.parametrize("public", ["", "!", "AAAA"])
def test_what_is_no_key_is_refused(public: str) -> None:
    assert not verify(public, "alpha", BODY, NodeKey.generate().sign("alpha", BODY))


def test_a_key_comes_back_from_its_file(tmp_path: Path) -> None:
    key = NodeKey.generate()
    path = tmp_path / "node.key"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = NodeKey.load(path)
    assert loaded.public == key.public
    assert verify(key.public, "alpha", BODY, loaded.sign("alpha", BODY))


def test_a_key_is_never_written_over_another(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    NodeKey.generate().save(path)
    with pytest.raises(FileExistsError):
        NodeKey.generate().save(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_or_write_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "node.key"
    NodeKey.generate().save(path)
    path.chmod(mode)
    with pytest.raises(Invalid, match=f"chmod 600 {path}"):
        NodeKey.load(path)


def test_a_file_that_is_missing_or_holds_no_key_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    with pytest.raises(Invalid, match=f"{path} can't be read"):
        NodeKey.load(path)
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(Invalid, match=f"{path} can't be read"):
        NodeKey.load(path)


def test_a_key_of_another_kind_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    path.chmod(0o600)
    with pytest.raises(Invalid, match="no Ed25519 key; make one with: cronkeeper node add"):
        NodeKey.load(path)
