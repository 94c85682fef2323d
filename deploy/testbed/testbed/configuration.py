"""The configuration files of a cluster's daemons."""

from collections.abc import Sequence
from pathlib import Path

from .services import SeaweedFS, ZooKeeper


def write(path: Path, *tables: str) -> Path:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text("".join(tables))
    return path


def of_all(zookeepers: Sequence[ZooKeeper], seaweedfs: SeaweedFS) -> str:
    """What every daemon needs."""
    return (
        f'[zookeeper]\nhosts = "{",".join(each.hosts for each in zookeepers)}"\n'
        f'[s3]\nendpoint = "{seaweedfs.endpoint}"\nbucket = "{seaweedfs.bucket}"\n'
        f'access_key = "{seaweedfs.access_key}"\nsecret_key = "{seaweedfs.secret_key}"\n'
    )


def of_servers(sql: str, admin_token: str, user_token: str) -> str:
    """What API and managers need, which workers never see."""
    return (
        f'[sql]\nurl = "{sql}"\n'
        f'[api]\nworkers = 1\nadmin_token = "{admin_token}"\nuser_token = "{user_token}"\n'
    )


def of_worker(node: str, home: Path, key: Path, url: str) -> str:
    """What the worker of a node needs; `url` is the API's."""
    return (
        f'[worker]\nnode = "{node}"\nhome = "{home}"\nkey_file = "{key}"\nallow_run_as = ["*"]\n'
        f'labels = ["host={node}"]\n'
        f'[api]\nurl = "{url}"\n'
    )
