"""Reports over HTTP, to an API and to what is none."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.samples import report

from cronkeeper.common.errors import Unavailable
from cronkeeper.common.model import RunState
from cronkeeper.common.signing import NODE_HEADER, SIGNATURE_HEADER, NodeKey, verify
from cronkeeper.worker.pace import NotTaken
from cronkeeper.worker.reporter import HttpSend

KEY = NodeKey.generate()


class Answering(HTTPServer):
    """Answers every request with the same, and keeps the last."""

    status = 200
    headers: tuple[tuple[str, str], ...] = ()
    answer = b'{"acknowledged": ["a"]}'
    path = node = signature = ""
    body = b""


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        self.server.path = self.path
        self.server.node = self.headers[NODE_HEADER]
        self.server.signature = self.headers[SIGNATURE_HEADER]
        self.server.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        for name, value in self.server.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def send(server: Answering) -> list[str]:
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    return list(HttpSend(url, "alpha", KEY)([report(RunState.SUCCEEDED)]))


def test_a_batch_is_signed_by_its_node(server: Answering) -> None:
    assert send(server) == ["a"]
    assert (server.path, server.node) == ("/reports", "alpha")
    assert verify(KEY.public, "alpha", server.body, server.signature)


@pytest.mark.parametrize("status", [401, 413, 500, 503])
def test_a_refusal_is_told_with_what_the_api_said(server: Answering, status: int) -> None:
    server.status, server.answer = status, b"no thanks"
    with pytest.raises(Unavailable, match=f"{status}: no thanks"):
        send(server)


@pytest.mark.parametrize(
    ("status", "refused"), [(400, True), (413, True), (500, True), (401, False), (503, False), (504, False)]
)
def test_it_is_known_whether_a_refusal_may_be_of_one_of_the_reports_alone(
    server: Answering, status: int, refused: bool
) -> None:
    server.status = status
    with pytest.raises(NotTaken) as refusal:
        send(server)
    assert refusal.value.refused is refused


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [("7", 7.0), ("0", 0.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0), ("-1", 0.0), ("", 0.0)],
)
def test_the_wish_to_be_left_alone_for_a_while_is_read(server: Answering, wish: str, seconds: float) -> None:
    server.status, server.headers = 503, (("Retry-After", wish),)
    with pytest.raises(NotTaken) as refusal:
        send(server)
    assert refusal.value.retry_after == seconds


@pytest.mark.parametrize("answer", [b"<html>", b"", b"[]", b"{}", b'{"acknowledged": 1}', b'"x"'])
def test_an_answer_of_something_else_than_the_api_is_no_acknowledgement(
    server: Answering, answer: bytes
) -> None:
    server.answer = answer
    with pytest.raises(Unavailable, match="is not the API"):
        send(server)


def test_an_api_that_does_not_listen_is_away(server: Answering) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        HttpSend("http://127.0.0.1:1", "alpha", KEY)([report(RunState.SUCCEEDED)])
