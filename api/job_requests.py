"""What else is asked of jobs: which of them to list, and in what a copy differs."""

from marshmallow import fields, validate

from cronkeeper.common.model import JobStatus, JobType
from cronkeeper.common.schedule import ONCE
from cronkeeper.common.store.job_query import JobSort

from .copies_field import HowMany
from .fields import Instant, Labels, between, matching, printable
from .paging import MAX_ID
from .schemas import CHOICES, NODE_NAME, Strict, about


class DuplicateSchema(Strict):
    """In what the copy differs."""

    name = fields.String(validate=printable, metadata=about("By default that of the job, with (copy)."))
    node = fields.String(
        allow_none=True,
        validate=matching(NODE_NAME, "the name of a node"),
        metadata=about("By default that of the job; null: any."),
    )
    requires = Labels(
        keys=fields.String(), values=fields.String(), metadata=about("By default those of the job.")
    )
    copies = HowMany(metadata=about("By default that of the job.", enum=[1, "all"]))
    at = Instant(allow_none=True, metadata=about(f"With {ONCE}: by default that of the job; null: at once."))


class JobsQuerySchema(Strict):
    """Which jobs to list."""

    limit = fields.Integer(load_default=500, validate=between(1, 1000))
    sort = fields.String(
        load_default=JobSort.ID.value,
        validate=validate.OneOf([f"{sign}{sort}" for sort in JobSort for sign in ("", "-")], error=CHOICES),
        metadata=about("What to go by; with - before it, backwards."),
    )
    cursor = fields.String(metadata=about("From the header Link of the page before."))
    after = fields.Integer(
        validate=between(0, MAX_ID), metadata=about("Only jobs with larger ids; with sort id only.")
    )
    status = fields.Enum(JobStatus, by_value=fields.String)
    type = fields.Enum(JobType, by_value=fields.String)
    node = fields.String(metadata=about("Only the jobs that this node has now."))
    name = fields.String(
        validate=matching(r"[^\0]*", "text without a NUL character"),
        metadata=about("Only jobs whose names have this in them, in large or small letters."),
    )
    enabled = fields.Boolean()


DUPLICATE = DuplicateSchema()
JOBS_QUERY = JobsQuerySchema()
