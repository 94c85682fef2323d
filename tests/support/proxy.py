"""A TCP proxy that can be cut, and that can lose the answers to what it has passed on."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 65536
Handler = Callable[[bytes, socket.socket], None]


class Proxy:
    """Listens on 127.0.0.1:`port` and passes everything on to one server, until it is told otherwise."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._pumps: list[threading.Thread] = []
        self._cut = False
        self._swallow = False
        self._swallowed = 0
        self._left: int | None = None
        self._closed = False
        self._acceptor = threading.Thread(target=self._accept, name="proxy")
        self._acceptor.start()

    def cut(self) -> None:
        """Drop every connection, and every one that is made from now on."""
        with self._lock:
            self._cut = True
            self._drop_all()

    def heal(self) -> None:
        """Pass everything on again, on new connections."""
        with self._lock:
            self._cut = False
            self._swallow = False
            self._left = None

    def swallow_replies(self) -> None:
        """From now on pass requests on and lose the answers, also on the connections there are."""
        with self._lock:
            self._swallow = True
            self._swallowed = 0

    def cut_after(self, size: int) -> None:
        """Cut in the middle of an answer, after about this many bytes."""
        with self._lock:
            self._left = size

    @property
    def swallowed(self) -> int:
        """The bytes of answers that were lost since `swallow_replies`."""
        with self._lock:
            return self._swallowed

    def close(self) -> None:
        """Drop everything and end the threads."""
        with self._lock:
            self._closed = True
            self._drop_all()
        # A close alone does not wake a thread in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for pump in self._pumps:
            pump.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drop_all(self) -> None:
        for link in self._links:
            _shut(link)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        for link in (near, far):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        both = threading.Barrier(2, action=lambda: self._forget(near, far))
        with self._lock:
            self._links.update((near, far))
            if self._cut or self._closed:
                self._drop_all()
        for handle, source, sink in ((self._pass_on, near, far), (self._pass_back, far, near)):
            pump = threading.Thread(target=_pump, args=(handle, source, sink, both), name="proxy")
            self._pumps.append(pump)
            pump.start()

    def _pass_on(self, data: bytes, sink: socket.socket) -> None:
        sink.sendall(data)

    def _pass_back(self, data: bytes, sink: socket.socket) -> None:
        with self._lock:
            if self._swallow:
                self._swallowed += len(data)
                return
            if self._left is not None:
                self._left -= len(data)
            spent = self._left is not None and self._left <= 0
        if spent:
            self.cut()
        sink.sendall(data)

    def _forget(self, near: socket.socket, far: socket.socket) -> None:
        with self._lock:
            self._links -= {near, far}
        near.close()
        far.close()


def _pump(handle: Handler, source: socket.socket, sink: socket.socket, both: threading.Barrier) -> None:
    """Pass bytes in one direction until either end is gone; the last of the two pumps closes both ends."""
    with suppress(OSError):
        while data := source.recv(CHUNK):
            handle(data, sink)
    _shut(source)
    _shut(sink)
    both.wait()


def _shut(link: socket.socket) -> None:
    """Wake whoever reads from it or writes to it; it is closed when they have let go."""
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
