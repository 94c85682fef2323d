"""Labels: what a node is or has, and what a job may require of its node."""

import re
from collections.abc import Iterable, Mapping

from cronkeeper.common.errors import Invalid

WORD = r"[A-Za-z0-9._/-]{1,63}"
"""What a label's key, and its value, look like."""
ACCEPTED = "1 to 63 letters of a-z and A-Z, digits, dots, underscores, slashes and hyphens"
_WORD = re.compile(WORD)


def parse(texts: Iterable[str]) -> dict[str, str]:
    """The labels in texts such as `disk=ssd`. Raises: Invalid."""
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"{text!r} is no label: key=value is expected, such as disk=ssd")
        if key in labels:
            raise Invalid(f"the label {key} is given twice: a node has one value of each")
        check({key: value})
        labels[key] = value
    return labels


def check(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` unless keys and values are what labels are made of."""
    for key, value in labels.items():
        for what, text in (("key", key), ("value", value)):
            if not _WORD.fullmatch(text):
                raise Invalid(f"{text[:63]!r} is no {what} of a label; accepted: {ACCEPTED}")


def shown(labels: Iterable[tuple[str, str]]) -> str:
    """For people: `disk=ssd, site=berlin`."""
    return ", ".join(f"{key}={value}" for key, value in labels)
