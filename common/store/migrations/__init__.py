"""The steps from each form of the tables to the next, as alembic runs them (see `upgrade`)."""

NEWEST = "0005"
"""The form that this version works with. It is known here so that alembic, which takes 10 MB, is only loaded
where there is something to do."""
