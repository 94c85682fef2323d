"""The proxy that other tests cut their links with."""

import socket
import threading
from collections.abc import Iterator

import pytest
from support.proxy import Proxy
from support.wait import wait_until


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(link,), daemon=True).start()

    def answer(link: socket.socket) -> None:
        with link:
            while data := link.recv(100):
                link.sendall(data)

    server = threading.Thread(target=serve)
    server.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    server.join()
    listener.close()


def test_a_cut_ends_connections_and_a_heal_lets_new_ones_through(echo: int) -> None:
    with Proxy("127.0.0.1", echo) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            assert _ask(link, b"one") == b"one"
            proxy.cut()
            assert link.recv(100) == b""
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            assert _ask(link, b"two") == b""
        proxy.heal()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link:
            assert _ask(link, b"three") == b"three"


def test_a_swallowed_answer_never_comes_though_the_server_gave_it(echo: int) -> None:
    with (
        Proxy("127.0.0.1", echo) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as link,
    ):
        assert _ask(link, b"one") == b"one"
        proxy.swallow_replies()
        link.sendall(b"two")
        wait_until(lambda: proxy.swallowed == 3)
        proxy.cut()
        assert link.recv(100) == b""


def _ask(link: socket.socket, question: bytes) -> bytes:
    try:
        link.sendall(question)
        return link.recv(100)
    except (ConnectionResetError, BrokenPipeError):
        return b""
