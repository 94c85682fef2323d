"""The form that the tables are in, and whether this version of cronkeeper can work with it.

A step that only adds to the tables leaves them usable for the code of before. So of two versions the older one
goes on working after the upgrade, as long as the tables say that they still serve it: it can't know that by itself.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from .migrations import NEWEST

FIRST_TOLD = "0004"
"""From this form on the tables say whom they serve."""


@dataclass(frozen=True, slots=True)
class Form:
    """The newest step that was done, None where there are no tables; and the oldest whose code still works then."""

    version: str | None
    oldest: str | None


NO_TABLES = Form(None, None)


def read(conn: Connection) -> Form:
    """Raises: DBAPIError, where there are no tables."""
    version = conn.scalar(sa.text("SELECT version_num FROM alembic_version"))
    oldest = None
    if version is not None and version >= FIRST_TOLD:
        oldest = conn.scalar(sa.text("SELECT oldest FROM schema_info"))
    return Form(version, oldest)


def lacks(form: Form) -> str | None:
    """Why the tables have to be upgraded first; None where they need not be."""
    if form.version is None:
        return "it lacks cronkeeper's tables: run `cronkeeper db upgrade` first"
    if form.version < NEWEST:
        return (
            f"it is at schema version {form.version}, and this version of cronkeeper needs {NEWEST}:"
            " run `cronkeeper db upgrade` first"
        )
    return None


def outgrown(form: Form) -> str | None:
    """Why this version is too old for the tables; None where it is not."""
    if form.version is None or form.version <= NEWEST or (form.oldest is not None and form.oldest <= NEWEST):
        return None
    serves = "" if form.oldest is None else f", which serves versions from {form.oldest} on"
    return (
        f"it is at schema version {form.version}{serves}, and this version of cronkeeper"
        f" knows none beyond {NEWEST}: install the version that upgraded it, or a later one"
    )
