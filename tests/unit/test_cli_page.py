"""The page on the command line speaks of words, options and exit codes that there are, and of all of them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cronkeeper.cli import client, ending
from cronkeeper.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()
GROUPS = ("job", "run", "node", "token")


def command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the first of these words name, and the words that are left."""
    found: click.Command = main
    while isinstance(found, click.Group):
        inner = found.get_command(click.Context(found), words[0])
        assert inner is not None, f"there is no word {words[0]}"
        found, words = inner, words[1:]
    return found, words


def options(of: click.Command) -> set[str]:
    return {name for param in of.params for name in (*param.opts, *param.secondary_opts) if name[:2] == "--"}


def words_of(group: str) -> set[str]:
    return set(command_group(group).commands)


def command_group(name: str) -> click.Group:
    found = main.get_command(click.Context(main), name)
    assert isinstance(found, click.Group)
    return found


EXAMPLES = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line
]
ROWS = re.findall(r"^\| `((?:job|run|node|token|doctor|completion)[^`]*)` \| (.*) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_understood(example: str) -> None:
    start, *words = shlex.split(example.split(" > ")[0])
    assert start == "cronkeeper"
    found, left = command(words)
    found.make_context("example", left)


@pytest.mark.parametrize(("word", "text"), ROWS)
def test_every_word_is_there_with_the_options_that_the_page_gives_it(word: str, text: str) -> None:
    found, left = command(word.split())
    assert len(left) == len([param for param in found.params if isinstance(param, click.Argument)])
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= options(found)


def test_the_page_leaves_out_no_word_and_no_option() -> None:
    described = {" ".join(row[0].split()[:2]) for row in ROWS}
    assert {f"{group} {word}" for group in GROUPS for word in words_of(group)} <= described
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    there = {
        option
        for group in GROUPS
        for each in command_group(group).commands.values()
        for option in options(each)
    } | options(command(["doctor"])[0])
    assert mentioned - {"--help"} == there - {"--help"}


def test_help_waits_for_nothing_that_is_needed_to_print_or_to_call() -> None:
    modules = [f"cronkeeper.cli.{name}" for name in ("main", "jobs", "runs", "nodes", "tokens", "completion")]
    code = f"import sys, {', '.join(modules)}\nprint(*{{each.split('.')[0] for each in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert set(done.stdout.split()) & {"rich", "urllib3", "msgspec", "cryptography"} == set()


def test_the_exit_codes_are_those_of_the_client() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)}
    kinds = (client.Refused, client.Missing, client.Unreachable, client.Outdated, click.UsageError)
    assert listed == {0, ending.ENDED_BADLY, ending.NOT_OVER, *(kind.exit_code for kind in kinds)}


def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "cronkeeper.cli.main", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: not all could be written: No space left on device\n")
