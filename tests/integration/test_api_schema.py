"""Generated requests, right and wrong, against every operation of the API: it never fails, and keeps its word."""

import shutil
from collections.abc import Iterator
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from support.office import TOKENS, Office

from cronkeeper.api.identity import Role
from cronkeeper.common.store.store import Store

# What a schema can't say is refused with 422: a schedule that is none, fields that don't fit each other.
NOT_SAID = [positive_data_acceptance]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    store = Store(f"sqlite:///{folder / 'cronkeeper.db'}")
    store.upgrade()
    store.close()
    office = Office(folder)
    yield office
    office.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_no_request_makes_it_fail_and_every_answer_is_as_described(
    office: Office, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", office.app)
    tried = 0
    for found in schema.get_all_operations():
        with suppress(Unsatisfiable):  # nothing can be wrong about a request that takes nothing
            send(found.ok(), mode)
            tried += 1
    assert tried > 10


def send(operation: schemathesis.APIOperation, mode: GenerationMode) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def sent(case: schemathesis.Case) -> None:
        headers = {"Authorization": f"Bearer {TOKENS[Role.ADMIN]}"}
        case.call_and_validate(headers=headers, excluded_checks=NOT_SAID)

    sent()
