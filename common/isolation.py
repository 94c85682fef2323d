"""Jobs whose ticks go on beginning on a node that is cut off: who may say so, pure."""

from cronkeeper.common.model import Copies, Definition, OnNodeLoss, Spec, WhenIsolated


def only_here(job: Definition) -> bool:
    """Whether the job, or this copy of it, can run on one node and on no other."""
    return job.node is not None or job.copies is Copies.ALL


def goes_on(job: Definition) -> bool:
    """Whether the job asks for that, and may."""
    return job.when_isolated is WhenIsolated.RUN and complaint(job) is None


def by_itself(spec: Spec) -> bool:
    """Whether the node that it is published to may; not where the job is about to leave it."""
    return goes_on(spec) and not spec.resting


def complaint(job: Definition) -> str | None:
    """Why the job may not say what it says of a node that is cut off; None where it may."""
    if job.when_isolated is not WhenIsolated.RUN:
        return None
    if not only_here(job):
        return "run is only for jobs that can run nowhere else: give the job a node, or copies all"
    if job.on_node_loss is OnNodeLoss.RERUN:
        return (
            "run and on_node_loss rerun exclude each other: a node that is cut off would have to end the runs"
        )
    return None
