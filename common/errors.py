"""Every error that one part of cronkeeper raises for another to handle."""


class CronkeeperError(Exception):
    """The base of all; its text is a sentence for a person."""


class NotFound(CronkeeperError):
    """What was named does not exist."""


class Conflict(CronkeeperError):
    """The state is no longer what the caller took it for."""


class Outdated(Conflict):
    """The caller said which state it means, and that is not the one there is."""


class Invalid(CronkeeperError):
    """A value is wrong. `fields` maps each wrong field's name to the complaints about it."""

    def __init__(self, message: str, fields: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.fields = fields or {}


class Unauthorized(CronkeeperError):
    """Nobody is known by these credentials."""


class Forbidden(CronkeeperError):
    """The caller is known and may not do this."""


class Unavailable(CronkeeperError):
    """A part that this one needs does not answer. What was asked may or may not have been done."""


class Busy(Unavailable):
    """There is too much of that at the moment. Nothing was done; it may be asked again soon."""
