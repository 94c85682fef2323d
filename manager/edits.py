"""The ticks that an edit takes a job's right to run from, before they were claimed: the ledger tells of them."""

import logging
from datetime import datetime, timedelta

from cronkeeper.common.attempts import call_off
from cronkeeper.common.model import Claim, Job, Skip, SkipReason, Spec, decode, encode, replace
from cronkeeper.common.passed_over import passed_over, with_skip

log = logging.getLogger(__name__)


def carried(claim: bytes, published: bytes, job: Job, unheard: datetime | None = None) -> bytes:
    """The claim that goes along with the job as it is now, where it was `published` as another one.

    `unheard`: what its node began by itself, up to then, nobody will ever hear of.
    """
    try:
        before, old = decode(claim, Claim), decode(published, Spec)
    except ValueError as error:
        log.error("what job %d was before can't be read: %s", job.id, error, extra={"job": job.id})
        return claim
    known = before if unheard is None or not before.alone else _unvouched(before, old, unheard)
    after = with_skips(known, old, job)
    return claim if after is before else encode(after)


def with_skips(claim: Claim, old: Spec, job: Job) -> Claim:
    """The claim with what fell due by the old schedule, and is not due by the new one, as skipped."""
    if not job.enabled:  # also where it was not enabled because it was to leave its node
        claim = call_off(claim, "the job was paused", job.updated_at)
    if old.enabled and not job.enabled:
        until, reason = job.updated_at, SkipReason.PAUSED
    elif old.effective_from != job.effective_from:
        if old.paused:  # its runs may have ended while it was paused
            claim = call_off(claim, "the job was paused", job.effective_from)
        until, reason = job.effective_from, SkipReason.EDITED
    else:
        return claim
    if claim.watermark is not None and claim.watermark >= until:
        # The node did not hear of it, and went on by the old one.
        return replace(claim, skips=(*claim.skips, *_unheard_of(old, job, claim.watermark)))
    return with_skip(claim, old, until, reason)


def _unvouched(claim: Claim, old: Spec, until: datetime) -> Claim:
    """The claim without what its node may have begun by itself: none of that begins a second time."""
    claim = call_off(claim, "its node was forgotten, and may have begun it", until)
    return with_skip(claim, replace(old, enabled=not old.paused), until, SkipReason.UNVOUCHED)


def _unheard_of(old: Spec, job: Job, watermark: datetime) -> list[Skip]:
    return passed_over(job, old, job.effective_from - timedelta(microseconds=1), watermark)
