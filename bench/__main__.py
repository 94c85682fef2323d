"""`python -m bench [WHAT]`, as root: cronkeeper beside a peer on the same machine."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Hosts made of namespaces, real servers and a client of the API are the same as in the tests.
sys.path[:0] = [str(ROOT / "deploy/testbed"), str(ROOT / "tests")]

from bench import burst, claims, failover, faults, idle, latency, leader, lists, measure, posts, upload  # noqa: E402

BENCHES = {
    "latency": latency.run,
    "burst": burst.run,
    "idle": idle.run,
    "upload": lambda home, install, _jobs, runs: upload.run(home, install, runs),
    "lists": lists.run,
    "posts": lambda home, install, _jobs, runs: posts.run(home, install, runs),
    "claims": lambda home, _install, _jobs, runs: claims.run(home, runs),
    "failover": lambda home, _install, jobs, runs: failover.run(home, jobs, runs),
    "faults": lambda home, _install, _jobs, runs: faults.run(home, runs),
    "leader": lambda home, _install, jobs, runs: leader.run(home, jobs, runs),
}
JOBS = {"latency": latency.JOBS, "lists": 10_000, "leader": 100_000}


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*BENCHES, "all"])
    parser.add_argument("--install", default="embedded", choices=["embedded", "cluster"])
    parser.add_argument(
        "--jobs",
        type=int,
        help="how many; default: 200 for latency, 10,000 for lists, 100,000 for leader, else 1000",
    )
    parser.add_argument("--runs", type=int, default=3, help="how often; the tables show each and the median")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench: hosts are made of namespaces, which takes root: run it as root", file=sys.stderr)
        return 1
    # So that a terminated bench, too, takes down what it started.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(1))
    for name in BENCHES if options.what == "all" else [options.what]:
        print(f"\n{name}, {options.install} install: {measure.machine()}", flush=True)
        home = Path(tempfile.mkdtemp(prefix="cronkeeper-bench-"))
        home.chmod(0o755)  # jobs of any user write there
        try:
            jobs = options.jobs if options.jobs is not None else JOBS.get(name, 1000)
            BENCHES[name](home, options.install, jobs, options.runs)
        finally:
            shutil.rmtree(home, ignore_errors=True)
        print(f"the load average now is {measure.load()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
