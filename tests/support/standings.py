"""How a faked machine stands in the tree: its sign of life, its facts, and its configuration."""

from functools import partial

from cronkeeper.common.coordination.embedded import EmbeddedTree
from cronkeeper.common.errors import Invalid
from cronkeeper.common.model import LiveNode
from cronkeeper.worker.clocks import Clocks
from cronkeeper.worker.presence import Presence
from cronkeeper.worker.reload import Live, Loaded, Reload
from cronkeeper.worker.standing import Standing

from .fakes import Bell, Machine, account
from .samples import facts

MAX_SKEW = 5.0


def standing_of(machine: Machine, tree: EmbeddedTree, sign: LiveNode, bell: Bell) -> Standing:
    """That of a daemon which is just started there."""
    reload = Reload(partial(_read, machine), machine.time.now)
    standing = Standing(tree, Presence(tree, sign), facts, reload, _live(machine), bell.set)
    standing.wall, standing.boot = machine.wall, machine.time
    standing.clocks = Clocks(MAX_SKEW)
    standing.hung_up = partial(_was_hung_up, machine)
    return standing


def _live(machine: Machine) -> Live:
    return Live(
        labels=dict(machine.labels),
        capacity=machine.capacity,
        max_running=machine.max_running,
        account=account,
    )


def _read(machine: Machine) -> Loaded:
    if machine.configuration_error is not None:
        raise Invalid(machine.configuration_error)
    return Loaded(_live(machine))


def _was_hung_up(machine: Machine) -> bool:
    hung_up, machine.hung_up = machine.hung_up, False
    return hung_up
