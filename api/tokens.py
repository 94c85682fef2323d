"""People's tokens."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields

from cronkeeper.common.model import Role
from cronkeeper.common.store.tokens import Token
from cronkeeper.manager import tokens

from .access import actor, admins_only
from .blueprint import Blueprint
from .fields import Instant, Seconds, between, printable
from .ids import numbered
from .schemas import Strict, about
from .services import services

log = logging.getLogger(__name__)

blueprint = Blueprint("tokens", __name__, description="Who may ask. For admins only.")

TEN_YEARS = 3653 * 24 * 3600


def _name(text: str) -> None:
    printable(text)
    if text != text.strip():
        raise ValidationError("it begins or ends with a space, which nobody would see")


class NewTokenSchema(Strict):
    """A token to make."""

    name = fields.String(
        required=True,
        validate=_name,
        metadata=about(
            "Whose or what it is: the name stands beside all that is done with it. No other active token has it.",
            example="ci",
        ),
    )
    role = fields.Enum(Role, by_value=fields.String, required=True)
    expires_in = Seconds(
        allow_none=True,
        load_default=None,
        validate=between(0, TEN_YEARS, "seconds", above=True),
        metadata=about(
            "Seconds, up to ten years, after which it is good no more; by default never.", exclusiveMinimum=0
        ),
    )


class TokenSchema(Schema):
    """What is known of a token, but not the token itself."""

    id = fields.String(metadata=about("Digits.", example="7"))
    name = fields.String()
    role = fields.Enum(Role, by_value=fields.String)
    created_by = fields.String()
    created_at = Instant()
    expires_at = Instant(allow_none=True)
    revoked_at = Instant(allow_none=True)


class MadeTokenSchema(TokenSchema):
    """A token that was made just now."""

    token = fields.String(metadata=about("Shown this once, and kept nowhere: only its SHA-256 is."))


@blueprint.route("/tokens", methods=["POST"])
@admins_only("making a token")
@blueprint.arguments(NewTokenSchema())
@blueprint.response(201, MadeTokenSchema())
def create(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Make a token

    Where the answer was lost, nobody has the token: revoke it, and make another.
    """
    desk, now = services().desk, services().clock()
    seconds = given["expires_in"]
    expires_at = None if seconds is None else now + timedelta(seconds=seconds)
    made, secret = tokens.create(desk, given["name"], given["role"], expires_at, actor().name, now)
    log.info("token %d, %s, of role %s made by %s", made.id, made.name, made.role, actor().name)
    shown = {name: getattr(made, name) for name in TokenSchema().fields}
    return shown | {"token": secret}, {"Cache-Control": "no-store"}


@blueprint.route("/tokens", methods=["GET"])
@admins_only("the list of tokens")
@blueprint.response(200, TokenSchema(many=True))
def listing() -> Sequence[Token]:
    """List all tokens, those that are good no more too"""
    return tokens.listing(services().desk)


@blueprint.route("/tokens/<token_id>", methods=["DELETE"])
@admins_only("revoking a token")
@blueprint.response(204)
def revoke(token_id: str) -> None:
    """Revoke a token

    Within 5 s nobody is let in with it any more. It may be repeated.
    """
    number = numbered(token_id, "token")
    tokens.revoke(services().desk, number, actor().name, services().clock())
    log.info("token %d revoked by %s", number, actor().name)
