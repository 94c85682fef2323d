"""Names of time zones: this machine's, and whether there is one of that name."""

from zoneinfo import ZoneInfo

import tzlocal

from cronkeeper.common.errors import Invalid


def local_zone() -> str:
    """The name of this machine's time zone; UTC where it has none that is known by name."""
    try:
        return check_zone(tzlocal.get_localzone_name())
    except (Invalid, LookupError, ValueError):
        return "UTC"


def check_zone(name: str) -> str:
    """The name of a time zone, known to exist. Raises: Invalid."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise Invalid(f"{name!r} is no time zone; an example of one: Europe/Berlin") from error
    return name
