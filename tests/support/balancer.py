"""What HAProxy of a test-bed says."""

import re

import urllib3
from testbed.cluster import Cluster
from testbed.haproxy import FIGURES
from testbed.netns import in_namespace


def up(cluster: Cluster, backend: str) -> set[str]:
    """The servers of a backend that HAProxy would use, by its own figures."""
    with in_namespace(cluster.rooms["haproxy"].namespace):
        text = urllib3.request("GET", f"http://{FIGURES}/metrics", timeout=10).data.decode()
    line = rf'haproxy_server_status{{proxy="{backend}",server="(\w+)",state="UP"}} 1'
    return set(re.findall(line, text))
