"""`make simulate [SEEDS=100000] [SEED=4711] [PLANTED=name]`: whole fleets in trouble, on a virtual clock."""

import argparse
import logging
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation import campaign, coverage
from simulation.dice import throw
from simulation.history import Complaint
from simulation.planted import PLANTED
from simulation.play import play
from simulation.scenario import Scenario
from simulation.shrink import shrink

MOST_SHRUNK = 5
"""So many failing seeds are shrunk; the others are the same bugs, mostly."""


def main() -> int:
    """The exit code: 1 where a seed failed, 2 where something required was never hit."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one alone, and say all of it")
    parser.add_argument("--planted", choices=sorted(PLANTED), help="with this bug in the product")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--required", action="store_true", help="fail where something required was never hit")
    asked = parser.parse_args()
    with ExitStack() as stack:
        if asked.seed is not None:
            if asked.planted is not None:
                stack.enter_context(PLANTED[asked.planted]())
            return _replay(asked.seed)
        return _campaign(asked)


def _campaign(asked: argparse.Namespace) -> int:
    seeds = range(asked.first, asked.first + asked.seeds)
    replay = f"make simulate{'' if asked.planted is None else f' PLANTED={asked.planted}'} SEED="
    begin = time.monotonic()

    def tell(news: campaign.Result, total: campaign.Result) -> None:
        for seed, complaints in sorted(news.failed.items()):
            print(f"\nseed {seed} fails (replay: {replay}{seed})", flush=True)
            _say(complaints)
        line = f"{total.seeds} of {len(seeds)} seeds, {len(total.failed)} failed, {time.monotonic() - begin:.0f} s"
        if sys.stdout.isatty() or total.seeds == len(seeds):
            print(f"\r{line}", end="\n" if total.seeds == len(seeds) else "", flush=True)

    total = campaign.play_all(seeds, asked.cores, tell, asked.planted)
    missing = coverage.gaps(total.cells)
    print(coverage.table(total.cells))
    for cell in missing:
        print("never hit:", ", ".join(cell))
    print(f"{len(total.failed)} of {total.seeds} seeds failed: {sorted(total.failed)[:100]}")
    print(
        f"{total.seconds / total.seeds:.2f} s of CPU a seed; {len(missing)} of what is required was never hit"
    )
    if total.failed:
        return 1
    return 2 if missing and asked.required else 0


def _replay(seed: int) -> int:
    """Play one seed, with its log, and shrink it where it fails."""
    scenario = throw(seed)
    print(scenario)
    logging.disable(logging.CRITICAL)
    outcome = play(scenario, campaign.store())
    _say(outcome.complaints)
    if not outcome.complaints:
        print(f"seed {seed}: nothing is wrong")
        return 0
    kinds = {each.kind for each in outcome.complaints}

    def fails(smaller: Scenario) -> bool:
        return bool(kinds & {each.kind for each in play(smaller, campaign.store()).complaints})

    least = shrink(scenario, fails)
    print("\nthis is enough:", least, sep="\n")
    _tell_story(least)
    return 1


def _tell_story(scenario: Scenario) -> None:
    outcome = play(scenario, campaign.store())
    _say(outcome.complaints)
    if outcome.history is None:
        return
    for one in outcome.history.executions:
        ended = "" if one.ended is None else f"{one.ended:%T.%f}"[:-4]
        print(
            f"  {one.began:%T.%f}".rstrip("0"),
            f"to {ended:12}",
            one.run_id,
            "on",
            one.node,
            "token",
            one.token,
        )
    for told in outcome.history.told:
        print(f"  SQL: {told.run_id} {told.state} {told.reason or ''} {told.node or ''}")


def _say(complaints: tuple[Complaint, ...]) -> None:
    for each in complaints:
        about = f"job {each.job_id} " if each.job_id else ""
        print(f"  {each.kind}: {about}{each.text}")


if __name__ == "__main__":
    sys.exit(main())
