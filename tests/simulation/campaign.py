"""Plays many seeds on all cores, and gathers what was wrong and what was hit."""

import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache

from simulation.coverage import Cell
from simulation.dice import throw
from simulation.history import Complaint
from simulation.planted import PLANTED
from simulation.play import MEMORY, NAME, Outcome, play

from cronkeeper.common.store.store import Store

CHUNK = 10
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Result:
    """Of some seeds: the complaints of each that failed, and how often each cell was hit."""

    seeds: int = 0
    failed: dict[int, tuple[Complaint, ...]] = field(default_factory=dict)
    cells: Counter[Cell] = field(default_factory=Counter)
    seconds: float = 0.0
    """Of one CPU."""

    def add(self, other: "Result") -> None:
        """Take in other seeds."""
        self.seeds += other.seeds
        self.failed |= other.failed
        self.cells.update(other.cells)
        self.seconds += other.seconds


@cache
def store() -> Store:
    """The one database of this process, in memory; each play begins with emptying it."""
    made = Store("sqlite://")
    made.upgrade()
    return made


def play_seed(seed: int) -> Outcome:
    """Play the scenario of a seed."""
    return play(throw(seed), store())


def play_all(
    seeds: range, cores: int, tell: Callable[[Result, Result], None], planted: str | None = None
) -> Result:
    """Play them on so many cores; `tell` is given what a chunk of them brought, and all so far."""
    sweep()
    total = Result()
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    with multiprocessing.get_context("fork").Pool(cores, _begin, (planted,)) as pool:
        for result in pool.imap_unordered(_play_chunk, chunks):
            total.add(result)
            tell(result, total)
    return total


def sweep() -> None:
    """Remove what plays left behind whose processes were killed."""
    for path in MEMORY.glob(f"{NAME}*") if MEMORY.is_dir() else ():
        pid = path.name.removeprefix(NAME).partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110
            shutil.rmtree(path, ignore_errors=True)


def first_to_fail(seeds: Iterable[int]) -> Iterator[tuple[int, Outcome]]:
    """The seeds that fail, in this process."""
    for seed in seeds:
        outcome = play_seed(seed)
        if outcome.complaints:
            yield seed, outcome


def _begin(planted: str | None) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    if planted is not None:
        ExitStack().enter_context(PLANTED[planted]())


def _play_chunk(seeds: range) -> Result:
    result = Result(len(seeds))
    begin = time.process_time()
    for seed in seeds:
        outcome = play_seed(seed)
        result.cells.update(outcome.cells)
        if outcome.complaints:
            result.failed[seed] = outcome.complaints
    result.seconds = time.process_time() - begin
    return result
