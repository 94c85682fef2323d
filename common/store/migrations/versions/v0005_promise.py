"""Which nodes are drained.

As in the first step, what was done before is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
oldest = "0003"
"""The oldest form whose code can work with this one."""

INSTANT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    """Of the nodes that are there none is drained."""
    if "drained_at" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("node")}:
        op.add_column("node", sa.Column("drained_at", INSTANT))
