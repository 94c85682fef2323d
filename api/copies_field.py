"""The field that says on how many nodes a job is."""

from typing import Any

from marshmallow import ValidationError, fields

from cronkeeper.common.model import Copies


class HowMany(fields.Field):  # type: ignore[type-arg]
    """1 or "all"."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Copies:
        if value == Copies.ALL:
            return Copies.ALL
        if value == 1 and isinstance(value, int) and not isinstance(value, bool):
            return Copies.ONE
        raise ValidationError('accepted: 1, or "all"')

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> int | str:
        return 1 if value is Copies.ONE else "all"
