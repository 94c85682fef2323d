"""What `cronkeeper job edit` makes of editors that leave something else than a changed job behind."""

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.fake_api import JOB, FakeApi, Given

from cronkeeper.cli.main import main

Edit = Callable[[str], Result]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    api.answer("GET", "/jobs/3", Given(200, JOB, {"ETag": '"7"'}))
    yield api
    api.close()


@pytest.fixture
def edit(api: FakeApi, tmp_path: Path) -> Edit:
    """Runs `cronkeeper job edit 3` with an editor that does this in the shell: $1 is the file, $old a copy."""

    def edit(steps: str) -> Result:
        program = tmp_path / "editor"
        program.write_text(f'#!/bin/sh\nold={tmp_path}/old\ncp "$1" "$old"\n{steps}\n')
        program.chmod(stat.S_IRWXU)
        environment = {"CRONKEEPER_URL": api.url, "CRONKEEPER_TOKEN": "token", "VISUAL": None}
        return CliRunner().invoke(main, ["job", "edit", "3"], env=environment | {"EDITOR": str(program)})

    return edit


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('rm "$1"', "the editor removed or renamed the file"),
        ('mv "$1" "$old"', "the editor removed or renamed the file"),
        (': > "$1"', "the file was left empty in the editor: nothing is changed"),
        ('echo "# a remark" > "$1"', "the file was left empty in the editor: nothing is changed"),
        ('printf "\\344" > "$1"', "no text in UTF-8"),
    ],
)
def test_an_editor_that_leaves_no_job_behind_is_told_so_in_one_line(
    edit: Edit, api: FakeApi, steps: str, said: str
) -> None:
    result = edit(steps)

    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert said in result.stderr
    assert [asked.method for asked in api.asked] == ["GET"]


def test_what_is_no_json_is_named_by_its_line_in_the_editor(edit: Edit, tmp_path: Path) -> None:
    # The first time it breaks a line and adds remarks; the second time it only looks.
    broken = 'sed -i "s/^{/# one\\n{\\n# two/; s/\\"schedule\\": /\\"schedule\\" /" "$1"'
    result = edit(f'grep -q "NOT ACCEPTED" "$1" || {broken}')

    lines = (tmp_path / "old").read_text().splitlines()
    place = next(number for number, line in enumerate(lines, 1) if '"schedule" ' in line)
    assert result.exit_code == 1
    assert f"this is no JSON: Expecting ':' delimiter: line {place} column 14\n" in result.stderr
    assert f"line {place} column 14" in lines[1]
