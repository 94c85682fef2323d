"""The log: one line an event, on standard error, as text or as JSON."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NOISY = ("kazoo", "botocore", "boto3", "urllib3", "waitress", "alembic", "s3transfer", "mysql")
FIELDS = ("request", "job", "run", "node")
"""What a line may say besides its text: given as `extra`, but the request, which is that of its thread."""
request: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is being answered, or carried out."""


@contextmanager
def about(request_id: str | None) -> Iterator[None]:
    """What is logged within belongs to this request."""
    before = request.set(request_id)
    try:
        yield
    finally:
        request.reset(before)


class Text(logging.Formatter):
    """A line for people; the request's id stands at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """As usual, and the request."""
        text, number = super().format(record), request.get()
        return text if number is None else f"{text} [request {number}]"


class Json(logging.Formatter):
    """An object: time, level, logger, message, and those of `FIELDS` that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever is in it."""
        said = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = {"request": request.get(), **{name: getattr(record, name, None) for name in FIELDS[1:]}}
        said |= {name: str(value) for name, value in known.items() if value is not None}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def set_up(level: str, form: str = "text") -> None:
    """Log to standard error, in UTC; of the libraries only what is a warning or worse."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
