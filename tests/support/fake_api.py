"""An HTTP server that answers what a test tells it to, and remembers what it was asked."""

import json
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOST = 0
"""A status: the connection is closed, and no answer comes."""

JOB: dict[str, Any] = {
    "id": "3",
    "type": "command",
    "name": "backup",
    "status": "scheduled",
    "command": "/usr/bin/backup --all",
    "executable": None,
    "filename": None,
    "args": [],
    "shell": None,
    "env": {"LEVEL": "9"},
    "stdin": None,
    "hidden": [],
    "schedule": "*/5 * * * *",
    "description": "every 5 minutes",
    "at": None,
    "timezone": "Europe/Berlin",
    "enabled": True,
    "node": None,
    "requires": {},
    "run_as": None,
    "timeout": 900.0,
    "grace": 10.0,
    "concurrency": "forbid",
    "catch_up": "latest",
    "max_lateness": 3600.0,
    "max_output": 16777216,
    "next_ticks": ["2030-01-31T11:05:00Z", "2030-01-31T11:10:00Z"],
    "last_run": {
        "id": "3.1.20300131T110000Z.1",
        "state": "failed",
        "tick": "2030-01-31T11:00:00Z",
        "started_at": "2030-01-31T11:00:00.250000Z",
        "ended_at": "2030-01-31T11:00:01Z",
        "exit_code": 2,
        "node": "alpha",
    },
    "rev": 7,
    "assigned_node": "alpha",
    "placement": "the live node with the fewest jobs",
    "created_by": "ann",
    "created_at": "2030-01-01T00:00:00Z",
    "updated_at": "2030-01-02T00:00:00Z",
    "ended_at": None,
}
"""A job as the API shows it."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Given:
    """One answer."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class FakeApi:
    """Answers on a free port; where several answers are given to one request, each once, the last for ever."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: defaultdict[tuple[str, str], deque[Given]] = defaultdict(deque)
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    fake._answer(self)
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, method: str, path: str, *answers: Given) -> None:
        """Answer this request so; what is not told of is not found."""
        self._answers[method, path] = deque(answers)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, link: BaseHTTPRequestHandler) -> None:
        size = int(link.headers.get("Content-Length", 0))
        body = json.loads(link.rfile.read(size)) if size else None
        assert link.command is not None
        self.asked.append(Asked(link.command, link.path, dict(link.headers), body))
        known = self._answers[link.command, link.path]
        answer = known[0] if known else Given(404, {"detail": f"there is nothing at {link.path}"})
        if len(known) > 1:
            known.popleft()
        if answer.status == LOST:
            return
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        head = [f"HTTP/1.1 {answer.status} Fake", f"Content-Length: {len(content)}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        link.wfile.write("\r\n".join([*head, "", ""]).encode() + content)
