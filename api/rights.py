"""Who may do what with a job: what has a `run_as` is for admins, since it has that user's rights."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from cronkeeper.common.model import Job, Role
from cronkeeper.manager import jobs

from .access import actor, require_admin
from .body import read_json
from .ids import numbered
from .services import services

View = Callable[..., Any]


def require_right_to(job: Job) -> None:
    """Raise `Forbidden` where who asks may look at the job, and do nothing with it.

    Who may not say which user runs a job may not say either what that user runs, nor when.
    """
    if job.run_as is not None:
        require_admin(f"what runs as {job.run_as}")


def only_admins_say_run_as(view: View) -> View:
    """Before anything else is said about the job in the body: a user learns nothing by trying."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        body = read_json()
        if isinstance(body, dict) and body.get("run_as") is not None:
            require_admin("run_as")
        return view(*args, **kwargs)

    return checked


def only_who_has_the_right(view: View) -> View:
    """Before anything else is said about what is asked of the job in the path.

    It may be given a `run_as` right after that: so whatever is done asks again in its own transaction.
    """

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if actor().role is not Role.ADMIN:
            require_right_to(jobs.get(services().desk, numbered(kwargs["job_id"])))
        return view(*args, **kwargs)

    return checked
