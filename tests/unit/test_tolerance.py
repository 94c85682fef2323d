"""What a later version has written is read by this one: fields that it does not know are no trouble."""

import json
from dataclasses import fields

import pytest
from support.samples import NOW, report, spec, unfinished

from cronkeeper.common.model import (
    Claim,
    HandRun,
    LiveNode,
    Report,
    RunState,
    Skip,
    SkipReason,
    Spec,
    decode,
    encode,
)

RUN = unfinished("1.1.20260301T120000Z.1")
VALUES = [
    spec(),
    Claim(watermark=NOW, unfinished=(RUN,), skips=(Skip(first=NOW, last=NOW, reason=SkipReason.PAUSED),)),
    HandRun(run_id="1.1.hand-a.1", job_id=1, copy=1),
    LiveNode(name="alpha", incarnation="1", boot_id="b", version="9", crond=True),
    report(RunState.RUNNING),
]


def with_more(value: object) -> object:
    """The JSON of the value as a later version may write it: with a field more in every object."""
    if isinstance(value, dict):
        return {name: with_more(each) for name, each in value.items()} | {"later": {"x": [1]}}
    return [with_more(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_fields_of_a_later_version_are_passed_over(value: object) -> None:
    later = json.loads(encode(value))
    maps = {"env", "requires", "labels"}  # of these the names are people's
    told = with_more({name: each for name, each in later.items() if name not in maps})
    assert isinstance(told, dict)
    told |= {name: later[name] for name in maps & later.keys()}
    assert decode(json.dumps(told).encode(), type(value)) == value


def test_a_claim_that_is_written_again_keeps_no_field_that_is_not_known() -> None:
    """This is why a field of a claim comes in two versions: docs/architecture.md, rolling upgrades."""
    claim = decode(b'{"watermark": null, "later": 1}', Claim)
    assert b"later" not in encode(claim)


@pytest.mark.parametrize("kind", [Spec, Claim, HandRun, LiveNode, Report])
def test_what_an_earlier_version_has_written_lacks_the_newest_fields_only_where_they_have_defaults(
    kind: type,
) -> None:
    """The fields without a default are those of the first version that others may run beside."""
    needed = {
        Spec: {
            "type", "name", "command", "artifact", "schedule", "at", "timezone", "run_as", "concurrency",
            "job_id", "copy", "rev", "effective_from",
        },
        Claim: set(),
        HandRun: {"run_id", "job_id", "copy"},
        LiveNode: {"name", "incarnation", "boot_id", "version", "crond"},
        Report: {"run_id", "job_id", "copy", "tick", "attempt", "gen", "node", "started_by", "state"},
    }  # fmt: skip
    required = {
        each.name
        for each in fields(kind)
        if each.default is each.default_factory  # both are MISSING
    }
    assert required == needed[kind]
