"""The two trees, each with what a test does to it: cut the link of one client, lose answers, restart, expire."""

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from testbed.services import ZooKeeper

from cronkeeper.common.coordination.embedded import EmbeddedServer, EmbeddedTree
from cronkeeper.common.coordination.tree import Session, Tree
from cronkeeper.common.coordination.zookeeper import ZooKeeperTree
from cronkeeper.common.errors import Unavailable

from .proxy import Proxy
from .wait import wait_until

T = TypeVar("T")

CALL_TIMEOUT = 3.0
"""How long a call may take, in seconds."""


class Install(ABC):
    """A tree that is this test's alone. Whatever was connected is closed with it."""

    @abstractmethod
    def connect(self, session: Session | None = None, session_timeout: float = 6.0) -> Tree:
        """Another client, where a session is given in that session."""

    @abstractmethod
    def cut(self, tree: Tree) -> None:
        """Cut a client's link."""

    @abstractmethod
    def heal(self, tree: Tree) -> None:
        """Mend a client's link."""

    @abstractmethod
    def losing_replies(self, tree: Tree, landed: Callable[[], bool]) -> AbstractContextManager[None]:
        """What a client asks inside is carried out; when `landed` says so, its link is cut instead of an answer."""

    @abstractmethod
    def expire(self, tree: Tree) -> None:
        """End a client's session before its time."""

    @abstractmethod
    def restart(self) -> None:
        """Kill the server and start it again."""

    @abstractmethod
    def close(self) -> None:
        """Close all."""


class Embedded(Install):
    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._server = EmbeddedServer(log_path)

    def connect(self, session: Session | None = None, session_timeout: float = 6.0) -> Tree:
        return self._server.connect(session_timeout, _known(session))

    def cut(self, tree: Tree) -> None:
        _embedded(tree).disconnect()

    def heal(self, tree: Tree) -> None:
        _embedded(tree).reconnect()

    @contextmanager
    def losing_replies(self, tree: Tree, landed: Callable[[], bool]) -> Iterator[None]:
        _embedded(tree).faults = _lose_reply
        yield
        _embedded(tree).faults = None
        assert landed()

    def expire(self, tree: Tree) -> None:
        self._server.expire(tree.session().id)

    def restart(self) -> None:
        self._server.close()
        self._server = EmbeddedServer(self._log_path)

    def close(self) -> None:
        self._server.close()


class Cluster(Install):
    """One ZooKeeper, a root of its own, and a proxy for each client."""

    def __init__(self, server: ZooKeeper) -> None:
        self._server = server
        self._root = f"/fleets/{uuid.uuid4().hex}"
        self._proxies: dict[Tree, Proxy] = {}

    def connect(self, session: Session | None = None, session_timeout: float = 6.0) -> Tree:
        proxy = Proxy(self._server.host, self._server.port)
        hosts = f"127.0.0.1:{proxy.port}"
        tree = ZooKeeperTree(hosts, self._root, session_timeout, _known(session), call_timeout=CALL_TIMEOUT)
        self._proxies[tree] = proxy
        return tree

    def cut(self, tree: Tree) -> None:
        self._proxies[tree].cut()

    def heal(self, tree: Tree) -> None:
        self._proxies[tree].heal()

    @contextmanager
    def losing_replies(self, tree: Tree, landed: Callable[[], bool]) -> Iterator[None]:
        def cut_in_time() -> None:
            wait_until(landed)
            self.cut(tree)

        self._proxies[tree].swallow_replies()
        cutter = threading.Thread(target=cut_in_time)
        cutter.start()
        yield
        cutter.join()
        self.heal(tree)

    def expire(self, tree: Tree) -> None:
        """By another client that comes to the same session and ends it, while the first can't take it back."""
        self.cut(tree)
        thief = self.connect(tree.session())
        assert thief.session().id == tree.session().id
        thief.sync()
        thief.close()
        self.heal(tree)

    def restart(self) -> None:
        self._server.kill()
        self._server.start()

    def close(self) -> None:
        for tree, proxy in self._proxies.items():
            tree.close()
            proxy.close()


def eventually(call: Callable[[], T]) -> T:
    """What the call returns once it is answered, as a daemon that goes on asking would see it."""
    answers: list[T] = []

    def answered() -> bool:
        try:
            answers.append(call())
        except Unavailable:
            return False
        return True

    wait_until(answered, deadline=20.0)
    return answers[0]


def _known(session: Session | None) -> tuple[int, bytes] | None:
    return None if session is None else (session.id, session.password)


def _embedded(tree: Tree) -> EmbeddedTree:
    assert isinstance(tree, EmbeddedTree)
    return tree


def _lose_reply(call: str, carry_out: Callable[[], T]) -> T:
    carry_out()
    raise Unavailable(f"the answer to {call} was lost")
