"""The log: one line an event, on standard error."""

import logging
import sys
import time

NOISY = ("kazoo", "botocore", "boto3", "urllib3", "waitress", "alembic", "s3transfer", "mysql")


def set_up(level: str) -> None:
    """Log to standard error, in UTC; of the libraries only what is a warning or worse."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
