"""Where everything lies in the tree. Names of nodes, jobs and runs are taken to be free of slashes."""

from cronkeeper.common.model import ClaimName

LEADERS = "/leader"
LEADER = "/leader/holder"
"""Ephemeral: whose session made it leads."""
EPOCH = "/epoch"
"""The number of the current leader, which every write of a manager checks."""
MARK = "/mark"
"""A number that the leader lets grow, and SQL is told of: a tree that is below it was lost or put back."""
NOTED = "/noted"
"""The last mark that SQL is known to have: where it has an older one, it was put back."""
LIVE = "/live"
CHANGES = "/changes"
NODES = "/nodes"
PARKED = "/parked"


def live(node_name: str) -> str:
    """Ephemeral: the session of the node's worker."""
    return f"{LIVE}/{node_name}"


def change(job_id: int) -> str:
    """The front desk's word to the leader that a job has a new rev."""
    return f"{CHANGES}/{job_id}"


def node(node_name: str) -> str:
    """The folder of all that is one node's."""
    return f"{NODES}/{node_name}"


def claims(node_name: str) -> str:
    """The folder whose names are the node's assignment."""
    return f"{NODES}/{node_name}/claims"


def claim(node_name: str, name: ClaimName) -> str:
    """A node's right to a job."""
    return f"{NODES}/{node_name}/claims/{name}"


def specs(node_name: str) -> str:
    """The folder of the specs that were published to the node."""
    return f"{NODES}/{node_name}/specs"


def spec(node_name: str, name: ClaimName) -> str:
    """What the node needs to schedule and run a job; it has its claim's name."""
    return f"{NODES}/{node_name}/specs/{name}"


def inbox(node_name: str) -> str:
    """The folder of requests to the node."""
    return f"{NODES}/{node_name}/inbox"


def inbox_entry(node_name: str, run_id: str) -> str:
    """A request to the node that is about one run."""
    return f"{NODES}/{node_name}/inbox/{run_id}"


def facts(node_name: str) -> str:
    """What the node's worker said last of its machine."""
    return f"{NODES}/{node_name}/facts"


def records(node_name: str) -> str:
    """What the node's own disk told of its jobs when it came to this tree."""
    return f"{NODES}/{node_name}/records"


def reload(node_name: str) -> str:
    """The request to the node's worker to read its configuration again; its data is the request's id."""
    return f"{NODES}/{node_name}/reload"


def pause(node_name: str) -> str:
    """Whether the node is paused, or until when it was: made anew with every change, for the folder's watch."""
    return f"{NODES}/{node_name}/pause"


def parked(job_id: int, copy: int) -> str:
    """The claim of a job that was on a node, and may be on none of those that are live now."""
    return f"{PARKED}/{job_id}.{copy}"


def skeleton() -> list[str]:
    """The persistent folders of the fleet, to `ensure` in this order before anything else is written.

    The last one says that all are there: whoever makes them may end in between.
    """
    return [LIVE, CHANGES, NODES, PARKED, LEADERS]


def node_skeleton(node_name: str) -> list[str]:
    """The persistent folders of one node, parents first."""
    return [node(node_name), claims(node_name), specs(node_name), inbox(node_name)]
