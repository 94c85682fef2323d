"""What befalls machines, daemons and links for a while, and how it is mended."""

from collections.abc import Callable

from simulation.cluster import Cluster
from simulation.link import Armed, Frozen
from simulation.scenario import Event, Fault, Strike

Mend = Callable[[], None]
PARTS = {
    Fault.SILENCE: ("api",),
    Fault.DEAF: ("api",),
    Fault.NO_SQL: ("sql",),
    Fault.FROZEN: ("tree",),
}
LINKS = (Fault.CUT, Fault.CUT_IN, Fault.CUT_OUT, Fault.FROZEN, Fault.SILENCE, Fault.DEAF, Fault.NO_SQL)
REFUSED = (*LINKS, Fault.FORGOTTEN, Fault.PAUSE, Fault.SUSPEND)
"""What may come to nothing, and has no mend then."""


def arm(cluster: Cluster, event: Event) -> None:
    """Let a strike wait for its call."""
    assert isinstance(event.what, Strike)
    cluster.ways[event.who].strikes.append(Armed(event))


def begin(cluster: Cluster, event: Event) -> Mend | None:
    """Let a fault begin; None where it can't, since something else is wrong there, or has nothing to be mended."""
    if event.what in LINKS:
        return _break_link(cluster, event)
    return _BEGINNINGS[event.what](cluster, event)


def _break_link(cluster: Cluster, event: Event) -> Mend | None:
    assert isinstance(event.what, Fault)
    way, name = cluster.ways[event.who], event.who
    usual = ("tree", "api") if name in cluster.machines else ("tree", "sql")
    parts = PARTS.get(event.what, usual)
    if any(part in way.wrong for part in parts):  # of two at once one would be mended with the other
        return None
    way.wrong |= dict.fromkeys(parts, event.what)
    if "tree" in parts and event.what is not Fault.CUT_OUT:
        _cut(cluster, name, event.what)

    def mend() -> None:
        for part in parts:
            way.wrong.pop(part, None)
        cluster.thaw(name)
        cluster.reconnect(name)

    return mend


def _cut(cluster: Cluster, name: str, fault: Fault) -> None:
    tree = cluster.daemons[name].tree
    if name not in cluster.loops or not tree._connected:
        return
    if fault is Fault.CUT:
        tree.disconnect()
        return
    if fault is Fault.FROZEN:
        frozen = Frozen(tree._core._nodes)
    tree._leave(end=False)
    if fault is Fault.FROZEN:
        cluster.frozen[name], tree._core = tree._core, frozen  # type: ignore[assignment]
        tree._connected = True


def _restart(cluster: Cluster, event: Event) -> None:
    cluster.crash(event.who, event.lasts)


def _pause(cluster: Cluster, event: Event) -> Mend | None:
    """It goes on by itself; None where it stands still already."""
    return _nothing if cluster.pause(event.who, event.lasts) else None


def _suspend(cluster: Cluster, event: Event) -> Mend | None:
    return _nothing if cluster.suspend(event.who, event.lasts) else None


def _kill_guard(cluster: Cluster, event: Event) -> None:
    cluster.crash(event.who, event.lasts, guard=True)


def _expire(cluster: Cluster, event: Event) -> None:
    if event.who in cluster.loops:
        cluster.server.expire(cluster.daemons[event.who].tree.session().id)


def _slow(cluster: Cluster, event: Event) -> Mend | None:
    way = cluster.ways[event.who]
    if way.delays:
        return None
    way.delays = event.pattern

    def mend() -> None:
        way.delays = ()

    return mend


def _clock(cluster: Cluster, event: Event) -> Mend:
    cluster.clocks[event.who].set(event.value)
    return lambda: cluster.clocks[event.who].set(0.0)


def _drift(cluster: Cluster, event: Event) -> Mend:
    clock = cluster.clocks[event.who]
    clock.drift(event.value)

    def mend() -> None:
        clock.drift(0.0)
        clock.set(0.0)

    return mend


def _forget(cluster: Cluster, event: Event) -> Mend | None:
    """`cronkeeper node forget`; None where it is refused."""
    return _nothing if cluster.forget_for_good(event.who) else None


def _nothing() -> None:
    """It can't be mended, or is by itself."""


def _fill_disk(cluster: Cluster, event: Event) -> Mend:
    cluster.full.add(event.who)
    return lambda: cluster.full.discard(event.who)


def _power_off(cluster: Cluster, event: Event) -> Mend:
    cluster.power_off(event.who)
    return lambda: cluster.start(event.who)


_BEGINNINGS: dict[object, Callable[[Cluster, Event], Mend | None]] = {
    Fault.RESTART: _restart,  # type: ignore[dict-item]
    Fault.PAUSE: _pause,
    Fault.SUSPEND: _suspend,
    Fault.NO_GUARD: _kill_guard,  # type: ignore[dict-item]
    Fault.EXPIRED: _expire,  # type: ignore[dict-item]
    Fault.SLOW: _slow,
    Fault.CLOCK: _clock,
    Fault.DRIFT: _drift,
    Fault.DISK_FULL: _fill_disk,
    Fault.POWER: _power_off,
    Fault.FORGOTTEN: _forget,
}
