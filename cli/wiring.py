"""A cluster's real parts, made from the configuration."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cronkeeper.common.config import require
from cronkeeper.common.errors import Unavailable
from cronkeeper.common.settings import Config
from cronkeeper.common.zone_names import local_zone

if TYPE_CHECKING:
    from cronkeeper.common.artifacts.store import ArtifactStore
    from cronkeeper.common.coordination.zookeeper import ZooKeeperTree
    from cronkeeper.common.store.store import Store
    from cronkeeper.worker.crontab_file import Crontab

log = logging.getLogger(__name__)

CALL_TIMEOUT = 2.0
"""Seconds that a daemon's loop waits for the tree: meanwhile nothing else goes on in it."""


def store(config: Config) -> "Store":
    """The database. Raises: Invalid."""
    from cronkeeper.common.store.store import Store

    return Store(require(config.sql.url, "sql", "url"))


def fitting_store(config: Config) -> "Store":
    """The database, with tables that this version can work with; looked at later where it does not answer yet.

    Raises: Conflict, Invalid.
    """
    made = store(config)
    try:
        made.require_form()
    except Unavailable as error:
        log.warning("%s", error)
    return made


def tree(config: Config, session: tuple[int, bytes] | None = None) -> "ZooKeeperTree":
    """ZooKeeper, in the session of an earlier process where one is given. Raises: Invalid."""
    from cronkeeper.common.coordination.zookeeper import ZooKeeperTree

    hosts = require(config.zookeeper.hosts, "zookeeper", "hosts")
    timeout = config.fleet.session_timeout
    return ZooKeeperTree(hosts, config.zookeeper.root, timeout, session, call_timeout=CALL_TIMEOUT)


def artifacts(config: Config) -> "ArtifactStore":
    """S3, connected to when it is first used. Raises: Invalid."""
    from cronkeeper.common.artifacts.lazy import LazyStore

    for key in ("endpoint", "bucket", "access_key", "secret_key"):
        require(getattr(config.s3, key), "s3", key)

    def make() -> "ArtifactStore":
        from cronkeeper.common.artifacts.s3 import S3Settings, S3Store

        return S3Store(
            S3Settings(
                endpoint=config.s3.endpoint,
                bucket=config.s3.bucket,
                region=config.s3.region,
                access_key=config.s3.access_key,
                secret_key=config.s3.secret_key,
                prefix=config.s3.prefix,
            )
        )

    return LazyStore(make)


def crontab(config: Config) -> "Crontab | None":
    """The crontab that the worker keeps; None where its clock leads."""
    from cronkeeper.worker.crontab_file import SystemCrontab, UserCrontab

    if config.worker.crontab == "none":
        return None
    return UserCrontab() if config.worker.crontab == "user" else SystemCrontab(Path(config.worker.crontab))


def figures(config: Config, daemon: Literal["manager", "worker"]) -> None:
    """Show Prometheus the daemon's figures, if its configuration says where. Raises: Invalid."""
    from cronkeeper.common import metrics

    address = config.manager.metrics if daemon == "manager" else config.worker.metrics
    if address:
        shown = metrics.MANAGER if daemon == "manager" else metrics.WORKER
        metrics.listen(address, f"{daemon}.metrics", shown)


def zone(config: Config) -> str:
    """The fleet's time zone by name."""
    return config.fleet.timezone if config.fleet.timezone else local_zone()
