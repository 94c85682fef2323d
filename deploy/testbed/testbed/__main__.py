"""`make cluster`: a cluster in the foreground, and the words for it in a second terminal, as in DO="kill zk2"."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from . import control
from .cluster import Cluster
from .inventory import parts_of
from .parts import Refused
from .plan import MOST_NODES, WHOLE
from .words import USAGE, Words

NONE_RUNS = "no cluster runs: make cluster"


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="make cluster",
        description=__doc__,
        epilog=f"words:\n{USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="WORD...", help="up, or what is said to the cluster"
    )
    parser.add_argument("--nodes", type=int, default=5, choices=range(MOST_NODES + 1), metavar="N")
    parser.add_argument("--galera", action="store_true", help="three databases instead of one")
    parser.add_argument("--port", type=int, default=31000, help="the API's on this machine's loopback")
    parser.add_argument("--home", type=Path, default=Path("var/cluster"))
    options = parser.parse_args()
    home = options.home.absolute()
    if os.geteuid() != 0:
        return _fail("hosts are made of namespaces, which takes root: run it as root")
    if options.words != ["up"]:
        return tell(home, options.words)
    plan = replace(WHOLE, databases=3) if options.galera else WHOLE
    return up(Cluster(home, options.nodes, plan=plan), options.port)


def up(cluster: Cluster, port: int) -> int:
    """Start a cluster, obey what is said to it, and stop it on Ctrl-C or `down`."""
    if control.runs(cluster.home):
        return _fail("one runs already: make cluster DO=down")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        shutil.rmtree(cluster.home, ignore_errors=True)  # what one that was killed left
        cluster.home.mkdir(parents=True)
        link = control.Control(cluster.home)
        cluster.start(port)
        (cluster.home / "admin.token").touch(mode=0o600)
        (cluster.home / "admin.token").write_text(cluster.admin_token + "\n")
        words = Words(parts_of(cluster), cluster.url, str(cluster.home))
        print(words.shown(), flush=True)
        link.serve(lambda line: _obey(words, line))
    except KeyboardInterrupt:
        pass
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return _fail(str(error))
    finally:
        _ignore_signals()
        cluster.stop()
    print("the cluster is gone")
    return 0


def tell(home: Path, words: list[str]) -> int:
    """Say something to the cluster that runs, and show what it answers."""
    try:
        answer = control.say(home, shlex.join(words))
    except TimeoutError:
        return _fail("the cluster does not answer")
    if answer is None:
        print(NONE_RUNS)
        return 0 if words == ["down"] else 1
    print(answer.text, file=sys.stdout if answer.ok else sys.stderr)
    return 0 if answer.ok else 1


def _obey(words: Words, line: str) -> control.Answer:
    try:
        answer = control.Answer(True, words.obey(line))
    except Refused as error:
        answer = control.Answer(False, f"make cluster: {error}")
    print(f"{line}: {'done' if answer.ok else 'refused'}", flush=True)
    return answer


def _interrupt(_signal: int, _frame: object) -> None:
    _ignore_signals()  # a second Ctrl-C would leave half of it
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _fail(why: str) -> int:
    print(f"make cluster: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
