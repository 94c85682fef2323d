"""What every tree refuses before it does anything, so that both implementations refuse the same."""

import re

from cronkeeper.common.errors import Invalid

from .tree import MAX_BATCH_BYTES, Batch, Create, Delete, Op, size_of

# ZooKeeper's rule (PathUtils.validatePath): no empty, "." or ".." names, no control characters, no
# surrogates, which is what Java sees where a character lies beyond the basic plane.
_NAME = r"(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]+"
_PATH = re.compile(rf"/|(?:/{_NAME})+")


def checked_path(path: str) -> str:
    """The path itself. Raises: Invalid."""
    if not _PATH.fullmatch(path):
        raise Invalid(
            f"{path!r} is not a path of the tree: /name/name without a slash at the end is expected"
        )
    return path


def check_batch(ops: Batch) -> None:
    """Raises: Invalid, where an operation is malformed or all together are larger than MAX_BATCH_BYTES."""
    for op in ops:
        _check_op(op)
    size = batch_bytes(ops)
    if size > MAX_BATCH_BYTES:
        raise Invalid(
            f"{size} bytes in one write to the tree, first {ops[0].path}: at most {MAX_BATCH_BYTES}"
        )


def batch_bytes(ops: Batch) -> int:
    """About what the operations take in a request."""
    return sum(size_of(op) for op in ops)


def _check_op(op: Op) -> None:
    checked_path(op.path)
    if not isinstance(op, Create) and op.version < 0:
        raise Invalid(f"version {op.version} of {op.path}: a version that was read is expected")
    if isinstance(op, Delete) and op.path == "/":
        raise Invalid("the root of the tree can't be deleted")
