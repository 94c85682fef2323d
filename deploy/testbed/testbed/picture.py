"""What runs where, and how to reach it, as a picture for a terminal."""

from collections.abc import Iterable
from itertools import groupby

from .network import HUB
from .parts import Part

WIDTH = 96
A_ROW = 4


def picture(parts: Iterable[Part], url: str) -> str:
    """The parts from people's side to the workers, each row a kind."""
    entrance = f"this machine: {url}"
    lines = [entrance.center(WIDTH), "|".center(WIDTH).rstrip()]
    for kind, group in groupby((part for part in parts if part.alone), key=lambda part: part.kind):
        lines.append(f"+- {kind} ".ljust(WIDTH - 1, "-") + "+")
        cells = [_cell(part) for part in group]
        lines += [_row(cells[begin : begin + A_ROW]) for begin in range(0, len(cells), A_ROW)]
    lines.append("+".ljust(WIDTH - 1, "-") + "+")
    lines.append(f"Each has a cable of its own to the hub, {HUB}.")
    return "\n".join(line.rstrip() for line in lines)


def table(parts: Iterable[Part]) -> str:
    """One line for each part: its state, where it is, its process, its clock."""
    lines = [f"{'PART':<12} {'STATE':<14} {'ADDRESS':<23} {'PID':<9} CLOCK"]
    for part in parts:
        pids = part.process.pids()
        cut = ", cut" if part.alone and part.place.is_cut else ""
        clock = f"{part.clock.offset:+g} s" if part.clock is not None else ""
        pid = str(pids[0]) if pids else "-"
        lines.append(f"{part.name:<12} {part.state() + cut:<14} {part.address:<23} {pid:<9} {clock}".rstrip())
    return "\n".join(lines)


def _cell(part: Part) -> str:
    return f"[{part.name} {part.address}]"


def _row(cells: list[str]) -> str:
    return "| " + "  ".join(cells).ljust(WIDTH - 4) + " |"
