"""The API of a cluster: gunicorn, wired to the real parts by the configuration. SIGHUP has it read again."""

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from cronkeeper.api.processes import figures_in_common
from cronkeeper.common.config import require
from cronkeeper.common.settings import Config

from . import wiring

if TYPE_CHECKING:
    from flask import Flask

    from cronkeeper.api.gunicorn_server import Serving
    from cronkeeper.api.identity import Role
    from cronkeeper.api.leaving import Leaving


def serve(config: Config, read: Callable[[], Config]) -> None:
    """Serve until SIGTERM; `read` gives the configuration as it is later. Raises: Invalid, Unavailable."""
    with figures_in_common():
        wiring.fitting_store(config).close()  # once for all processes, which could only end themselves
        from cronkeeper.api.gunicorn_server import Server

        Server(_each(config, read)).run()


def _each(first: Config, read: Callable[[], Config]) -> Callable[[], "Serving"]:
    """What is served by the first configuration, and later by the one that there is then."""
    given = iter([first])

    def serving() -> "Serving":
        config = next(given, None)
        return _serving(config if config is not None else read())

    return serving


def _serving(config: Config) -> "Serving":
    """All that could be wrong is found here: a process that finds it after its fork ends the whole server.

    Raises: Invalid.
    """
    # The application is loaded before any fork, so that a process serves soon after it.
    from cronkeeper.api import app, identity  # noqa: F401
    from cronkeeper.api.gunicorn_server import Serving

    tokens = {
        identity.Role.ADMIN: require(config.api.admin_token, "api", "admin_token"),
        identity.Role.USER: require(config.api.user_token, "api", "user_token"),
    }
    identity.check(tokens)
    require(config.zookeeper.hosts, "zookeeper", "hosts")
    wiring.store(config).close()
    wiring.artifacts(config)
    return Serving(
        factory=partial(_app, config, tokens),
        bind=config.api.bind.split(","),
        workers=config.api.workers,
        threads=config.api.threads,
        drain_delay=config.api.drain_delay,
    )


def _app(config: Config, tokens: "dict[Role, str]", leaving: "Leaving") -> "Flask":
    from cronkeeper.api.app import create_app
    from cronkeeper.api.identity import Identity
    from cronkeeper.api.services import Services
    from cronkeeper.common.ledger import Rules
    from cronkeeper.manager.desk import Desk
    from cronkeeper.manager.tokens import find

    desk = Desk(wiring.store(config), wiring.tree(config), wiring.artifacts(config))
    return create_app(
        Services(
            desk=desk,
            identity=Identity(tokens, partial(find, desk)),
            timezone=wiring.zone(config),
            max_waiters=max(1, config.api.threads // 2),
            max_batches=max(1, config.api.threads // 2 - 1),
            version=version("cronkeeper"),
            leaving=leaving,
            ledger=Rules.of(config.fleet),
        )
    )
