"""Waits until a server does real work: `probe.py zookeeper|s3|http|tcp HOST PORT`.

A program of its own, because it runs in the server's network namespace. It never gives up: whoever started it
kills it when the server dies or the time is over.
"""

import socket
import sys
import time
from collections.abc import Callable

EVERY = 0.02


def zookeeper_serves(host: str, port: int) -> bool:
    """True once ZooKeeper says which mode it serves in; before that it answers that it isn't serving."""
    try:
        with socket.create_connection((host, port), timeout=1) as link:
            link.sendall(b"srvr")
            answer = b""
            while chunk := link.recv(65536):
                answer += chunk
    except OSError:
        return False
    return b"Mode:" in answer


def s3_serves(host: str, port: int) -> bool:
    """True once an object can be written: SeaweedFS lists its buckets long before that."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, connect_timeout=2)
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", config=config)
    while True:
        try:
            client.put_object(Bucket="cronkeeper", Key=".ready", Body=b"")
        except (BotoCoreError, ClientError):
            time.sleep(EVERY)
        else:
            return True


def http_serves(host: str, port: int) -> bool:
    """True once the API calls itself healthy."""
    from http.client import HTTPConnection, HTTPException

    try:
        link = HTTPConnection(host, port, timeout=5)
        link.request("GET", "/health")
        return link.getresponse().status == 200
    except (OSError, HTTPException):
        return False


def tcp_serves(host: str, port: int) -> bool:
    """True once somebody listens."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


PROBES: dict[str, Callable[[str, int], bool]] = {
    "zookeeper": zookeeper_serves,
    "s3": s3_serves,
    "http": http_serves,
    "tcp": tcp_serves,
}


def main(kind: str, host: str, port: str) -> None:
    """Return when the server serves."""
    while not PROBES[kind](host, int(port)):
        time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
