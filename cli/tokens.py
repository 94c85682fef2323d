"""`cronkeeper token`: make people's tokens, look at them, revoke them."""

import click

from . import show as shown
from .access import connected
from .cells import duration
from .client import Client, Refused, path_to
from .fields import DURATION
from .show import field, json_option

ROLES = ("admin", "user")
COLUMNS = {
    "id": field("id"),
    "name": field("name"),
    "role": field("role"),
    "created by": field("created_by"),
    "created": field("created_at"),
    "expires": field("expires_at"),
    "revoked": field("revoked_at"),
}


@click.group()
def token() -> None:
    """Make people's tokens, look at them, revoke them."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), default="user", show_default=True, help="What it may do.")
@click.option(
    "--expires", type=DURATION, help="The time for which it is good, such as 12h or 30d; else for ever."
)
@json_option
@connected
def create(client: Client, name: str, role: str, expires: float | None, as_json: bool) -> None:
    """Make a token and print it, this once."""
    body = {"name": name, "role": role, "expires_in": expires}
    made = client.call("POST", "/tokens", body).json
    until = "" if expires is None else f", for {duration(expires)}"
    try:
        shown.answer(made, made["token"], as_json=as_json)
    except OSError as error:
        shown.forget_output()
        raise Refused(
            f"token {made['id']}, {name}, is made, but could not be printed ({error.strerror}), and nobody has it: "
            f"revoke it with `cronkeeper token revoke {made['id']}`, and make another"
        ) from error
    click.echo(
        f"token {made['id']}, {name}, of role {role}{until}: it is shown this once, so keep it", err=True
    )


@token.command(name="list")
@json_option
@connected
def list_(client: Client, as_json: bool) -> None:
    """List the tokens, those that are good no more too; what they are is never shown."""
    shown.many(client.call("GET", "/tokens").json, COLUMNS, as_json=as_json)


@token.command()
@click.argument("token_ids", metavar="ID...", nargs=-1, required=True)
@json_option
@connected
def revoke(client: Client, token_ids: tuple[str, ...], as_json: bool) -> None:
    """Revoke tokens: within 5 s they let nobody in any more."""
    done, refused = [], None
    for token_id in token_ids:
        try:
            client.call("DELETE", path_to("tokens", token_id))
        except Refused as error:
            error.show()
            refused = error
            continue
        done.append(token_id)
        if not as_json:
            click.echo(f"token {token_id} is revoked")
    if as_json:
        known = client.call("GET", "/tokens").json if done else []
        shown.answer([each for each in known if each["id"] in done], "", as_json=True)
    if refused is not None:
        click.get_current_context().exit(refused.exit_code)
