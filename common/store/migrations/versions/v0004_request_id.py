"""Which request an audit entry belongs to, and which versions the tables still serve.

As in the first step, what was done before is left as it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
oldest = "0003"
"""The oldest form whose code can work with this one."""


def upgrade() -> None:
    """Of the entries that are there nobody knows the request."""
    if "request_id" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("audit")}:
        op.add_column("audit", sa.Column("request_id", sa.String(64)))
    op.create_table(
        "schema_info",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("oldest", sa.String(16), nullable=False),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    info = sa.table("schema_info", sa.column("id"), sa.column("oldest"))
    if op.get_bind().scalar(sa.select(info.c.id)) is None:
        op.execute(sa.insert(info).values(id=1, oldest=oldest))
