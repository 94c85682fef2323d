"""`cronkeeper run`: look at runs and what they wrote."""

from urllib.parse import quote

import click

from cronkeeper.cli import show as shown
from cronkeeper.cli.client import Client, connected
from cronkeeper.cli.show import json_option

SIZE_HEADER = "Cronkeeper-Output-Size"


@click.group()
def run() -> None:
    """Look at runs and what they wrote."""


@run.command(name="list")
@click.argument("job_id", metavar="JOB")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@json_option
@connected
def list_(client: Client, job_id: str, limit: int, as_json: bool) -> None:
    """List the newest runs of a JOB."""
    runs = client.call("GET", f"/jobs/{quote(job_id, safe='')}/runs?limit={limit}").json
    columns = ("id", "state", "exit_code", "node", "started_by", "started_at", "ended_at")
    shown.many(runs, columns, as_json=as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@json_option
@connected
def show(client: Client, run_id: str, as_json: bool) -> None:
    """Show a run."""
    shown.one(client.call("GET", f"/runs/{quote(run_id, safe='')}").json, as_json=as_json)


@run.command()
@click.argument("run_id", metavar="ID")
@click.option("--stderr", is_flag=True, help="What it wrote to its standard error instead.")
@connected
def output(client: Client, run_id: str, stderr: bool) -> None:
    """Print what a run wrote to its standard output, byte by byte."""
    stream = "stderr" if stderr else "stdout"
    answer = client.call("GET", f"/runs/{quote(run_id, safe='')}/{stream}")
    click.echo(answer.body, nl=False)
    size = int(answer.headers.get(SIZE_HEADER, len(answer.body)))
    if size > len(answer.body):
        click.echo(f"of the {size} bytes that it wrote these are kept: {len(answer.body)}", err=True)
