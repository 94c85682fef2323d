"""Which outputs of runs lie in the artifact store."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy import Connection

from cronkeeper.common.model import Output, Report

from .jobs import chunks
from .runs import by_ids
from .schema import Stream, run_output


def note_late(conn: Connection, reports: Sequence[Report], news: Collection[str]) -> None:
    """Let it be known of what these reports say was written where the end of the run was known before.

    `news` are the runs whose ends were not. Another node may have told an end that stood in its claim: it knew
    nothing of the output. A row that was removed meanwhile comes back: what is stored has to be found by whoever
    removes it.
    """
    told = [
        (report, stream, output)
        for report in reports
        for stream, output in ((Stream.STDOUT, report.stdout), (Stream.STDERR, report.stderr))
        if report.state.final
        and output is not None
        and (output.stored is not None or report.run_id not in news)
    ]
    known = by_ids(conn, {report.run_id for report, _, _ in told}) if told else {}
    for report, stream, output in told:
        run = known.get(report.run_id)
        if run is not None and (run.state, run.node) == (report.state, report.node):
            _note(conn, run.id, stream, output)


def stored_of(conn: Connection, run_ids: Iterable[str]) -> list[tuple[str, Stream]]:
    """The outputs of these runs that lie in the artifact store."""
    found: list[tuple[str, Stream]] = []
    for ids in chunks(run_ids):
        which = sa.and_(run_output.c.run_id.in_(ids), run_output.c.stored.is_not(None))
        rows = conn.execute(sa.select(run_output.c.run_id, run_output.c.stream).where(which))
        found += [(row.run_id, row.stream) for row in rows]
    return found


def remove(conn: Connection, run_ids: Collection[str]) -> None:
    """Forget what these runs wrote."""
    for ids in chunks(run_ids):
        conn.execute(sa.delete(run_output).where(run_output.c.run_id.in_(ids)))


def _note(conn: Connection, run_id: str, stream: Stream, output: Output) -> None:
    if output.stored is not None:
        which = sa.and_(run_output.c.run_id == run_id, run_output.c.stream == stream)
        if conn.execute(sa.update(run_output).where(which).values(stored=output.stored)).rowcount == 1:
            return
    row = {"run_id": run_id, "stream": stream, "size": output.size, "data": output.data}
    with suppress(
        sa.exc.IntegrityError
    ):  # it is there: a repeated report, or another process takes it in too
        conn.execute(sa.insert(run_output), row | {"stored": output.stored})
