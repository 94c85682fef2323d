"""The field that says how often a run is tried again."""

from typing import Any

from marshmallow import ValidationError, fields

from cronkeeper.common.model import Retry

from .fields import Seconds, between
from .schemas import Strict, about

DAY = 24 * 3600
MOST = 20


class _Retry(Strict):
    """How often, and after how long."""

    attempts = fields.Integer(
        required=True,
        strict=True,
        validate=between(0, MOST),
        metadata=about(f"How many more attempts there may be, up to {MOST}."),
    )
    delay = Seconds(
        validate=between(0, DAY, "seconds"),
        metadata=about("Seconds before the first of them, up to a day; by default 10."),
    )
    backoff = fields.Float(
        validate=between(1, 10),
        metadata=about("By what each delay is longer than the one before, 1 to 10; by default 2."),
    )
    jitter = Seconds(
        validate=between(0, 3600, "seconds"),
        metadata=about("Up to so many seconds more, for each attempt others; by default 0."),
    )


_RETRY = _Retry()


class Again(fields.Nested):
    """A `Retry`; null where there are no more attempts."""

    def __init__(self, **more: Any) -> None:
        super().__init__(_Retry, **more)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Retry:  # type: ignore[override]
        if not isinstance(value, dict):
            raise ValidationError('an object such as {"attempts": 3, "delay": 60} is expected, or null')
        try:
            return Retry(**super()._deserialize(value, attr, data, **kwargs))
        except ValidationError as error:
            raise ValidationError(_in_one_list(error)) from error

    def _serialize(self, value: Retry, attr: str | None, obj: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return _RETRY.dump(value) if value.attempts > 0 else None


def _in_one_list(error: ValidationError) -> list[str]:
    """What is wrong within the field, as everywhere in a problem: sentences by the name of the field."""
    assert isinstance(error.messages, dict)
    return [f"{name}: {text}" for name, texts in error.messages.items() for text in texts]
