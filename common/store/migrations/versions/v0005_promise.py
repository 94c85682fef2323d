"""What is to become of runs that failed, or were lost with their node, and of claims that are lost with the tree.

As in the first step, what was done before is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
oldest = "0003"
"""The oldest form whose code can work with this one."""

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.String(16)
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def upgrade() -> None:
    """Nothing was tried again before, and nothing was stopped."""
    _add("job", sa.Column("retry", LONG_TEXT))
    _add("job", sa.Column("on_node_loss", WORD, nullable=False, server_default="fail"))
    _add("job", sa.Column("when_isolated", WORD, nullable=False, server_default="finish"))
    _add("leader", sa.Column("tree_epoch", NUMBER))


def _add(table: str, column: sa.Column[object]) -> None:
    if column.name not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
