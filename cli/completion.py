"""`cronkeeper completion`: what lets a shell complete our words."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script for SHELL that completes the words of cronkeeper.

    For bash: cronkeeper completion bash > ~/.local/share/bash-completion/completions/cronkeeper
    """
    from click.shell_completion import get_completion_class

    from .main import main

    kind = get_completion_class(shell)
    assert kind is not None, "click has all that are offered"
    click.echo(kind(main, {}, "cronkeeper", "_CRONKEEPER_COMPLETE").source())
