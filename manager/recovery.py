"""What becomes of the runs that a dead node left unfinished, pure."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from cronkeeper.common.clock import same_boot
from cronkeeper.common.model import Claim, LiveNode, Unfinished


@dataclass(frozen=True, slots=True)
class Verdict:
    """The runs to be given up for lost, each with the reason, and those that may still be going on."""

    lost: tuple[tuple[Unfinished, str], ...]
    pending: tuple[Unfinished, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes that SQL knows, those that are live, and since when the others are not."""

    known: Container[str]
    live: Mapping[str, LiveNode]
    absent_since: Mapping[str, float]


def recover(claim: Claim, node: str, nodes: Nodes, *, now: float, run_lease: float) -> Verdict:
    """Judge the unfinished runs of other nodes in a claim of `node`.

    A run is given up `run_lease` seconds after its node was seen to be gone, for by then the node has
    stopped what it had to; or at once when the node is back after a reboot, which stopped everything, or is not
    known any more: it was forgotten, and nothing that it says of the run will be heard.
    """
    lost: list[tuple[Unfinished, str]] = []
    pending: list[Unfinished] = []
    for run in claim.unfinished:
        if run.node == node or not run.goes_on:
            continue
        back = nodes.live.get(run.node)
        if run.node not in nodes.known:
            lost.append((run, f"node {run.node} was forgotten"))
        elif back is not None and not same_boot(back.boot_id, run.boot_id):
            lost.append((run, f"node {run.node} was restarted while the run was unfinished"))
        elif back is None and now - nodes.absent_since.get(run.node, now) >= run_lease:
            lost.append((run, f"node {run.node} has been gone for {run_lease:.0f} s"))
        else:
            pending.append(run)
    return Verdict(tuple(lost), tuple(pending))
