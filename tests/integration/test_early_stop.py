"""A process of gunicorn's that is told to end while it still loads: it answers what has come in, and ends well."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from support.servers import Site
from testbed.server import dying_with_us

from cronkeeper.api.listen import listen

ENDED_EARLY = """
import os, signal, sys
from pathlib import Path
from support.office import Office
from cronkeeper.api.gunicorn_server import Server, Serving
def office(leaving):
    made = Office(Path(sys.argv[1]), leaving=leaving)
    made.store.upgrade()
    if not (Path(sys.argv[1]) / "told").exists():
        (Path(sys.argv[1]) / "told").touch()
        os.kill(os.getpid(), signal.SIGTERM)
    return made.app
serving = Serving(factory=office, bind=["fd://" + sys.argv[2]], workers=1, threads=4, drain_delay=0.0)
Server(lambda: serving).run()
"""


def test_a_process_that_is_told_to_end_before_it_began_answers_what_has_come_in(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener, (tmp_path / "log").open("w") as log:
        number = listener.fileno()
        server = subprocess.Popen(
            [*dying_with_us(), sys.executable, "-c", ENDED_EARLY, str(tmp_path), str(number)],
            pass_fds=[number],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stderr=log,
        )
        site = Site(listener.getsockname()[1], tmp_path, 0)
        answers = [site.ask("GET", "/jobs")[0] for _ in range(3)]
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    assert answers == [200, 200, 200]
    assert "Traceback" not in (tmp_path / "log").read_text()
