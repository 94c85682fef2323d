"""Whether this API and the parts it needs work."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import cast

from flask import Flask, current_app

from cronkeeper.common.errors import CronkeeperError
from cronkeeper.manager.desk import Desk

from . import schemas
from .blueprint import Blueprint
from .services import services

blueprint = Blueprint("health", __name__, description="Whether it works.")

TIMEOUT = 2.0
"""Seconds that each part has for its answer; they are asked side by side."""
OK = "ok"
LEAVING = "leaving"
"""In place of all parts: this server works, is about to end, and must not be sent anything new."""
_CHECKS = "cronkeeper.checks"


class Checks:
    """Asks the parts on threads of its own, so that one that hangs costs no more than the time given to it."""

    def __init__(self, desk: Desk, timeout: float = TIMEOUT) -> None:
        self._parts: Mapping[str, Callable[[], object]] = {
            "sql": desk.store.check,
            "coordination": lambda: desk.tree.get("/"),
            "artifacts": desk.artifacts.check,
        }
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(len(self._parts), thread_name_prefix="health")

    def run(self) -> dict[str, str]:
        """For each part `ok`, or what is wrong with it."""
        asked = {part: self._pool.submit(check) for part, check in self._parts.items()}
        return {part: self._said(future) for part, future in asked.items()}

    def _said(self, future: "Future[object]") -> str:
        try:
            future.result(self._timeout)
        except CronkeeperError as error:
            return str(error)
        except TimeoutError:
            future.cancel()
            return f"no answer within {self._timeout:g} s"
        return OK


def install(app: Flask, desk: Desk) -> None:
    """Provide the checks."""
    app.extensions[_CHECKS] = Checks(desk)


@blueprint.route("/health", methods=["GET"])
@blueprint.response(200, schemas.HEALTH)
@blueprint.alt_response(
    503, schema=schemas.HEALTH, description="A part does not work, or this server is about to end"
)
@blueprint.doc(security=[])
def show() -> tuple[dict[str, str], int]:
    """Say whether everything works

    A server that is about to end says `leaving`, while it still answers all else.
    """
    if services().leaving.announced:
        return {"status": LEAVING, "version": services().version}, HTTPStatus.SERVICE_UNAVAILABLE
    parts = cast(Checks, current_app.extensions[_CHECKS]).run()
    well = all(said == OK for said in parts.values())
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return {"status": OK if well else "failing", "version": services().version, **parts}, status
