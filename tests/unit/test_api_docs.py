"""The page for people who want to see what the API can do."""

import re
from pathlib import Path

import pytest
from marshmallow import validate
from support.office import Office

from cronkeeper.api.job_schemas import NEW_JOB
from cronkeeper.api.tokens import TEN_YEARS

MANUAL = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_page_shows_our_description_and_loads_nothing_from_elsewhere(empty_office: Office) -> None:
    page = empty_office.call("GET", "/docs/", None)
    assert page.status_code == 200
    assert page.mimetype == "text/html"
    assert '"url": "/openapi.json"' in page.text
    loaded = re.findall(r"(?:src|href)=[\"']([^\"']+)", page.text)
    assert loaded
    assert not any("//" in each for each in loaded)
    for each in loaded:
        with empty_office.call("GET", each, None) as asset:
            assert asset.status_code == 200


def test_the_page_is_found_without_the_slash_too(empty_office: Office) -> None:
    answer = empty_office.call("GET", "/docs", None)
    assert answer.status_code == 308
    assert answer.headers["Location"].endswith("/docs/")


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/__init__.py", "nothing.js"])
def test_nothing_else_is_given_away(empty_office: Office, path: str) -> None:
    assert empty_office.call("GET", f"/docs/{path}", None).status_code == 404


def test_the_manual_has_the_limits_of_numbers() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", MANUAL.read_text(), re.MULTILINE))
    limits = {
        name: check.max
        for name, field in NEW_JOB.fields.items()
        for check in field.validators
        if isinstance(check, validate.Range)
    }
    assert set(limits) == {"timeout", "grace", "max_lateness", "max_output"}
    for name, most in limits.items():
        assert re.search(rf"\b{most:,} (s|bytes)\b", rows[name]), name
    assert f"{TEN_YEARS:,} s" in MANUAL.read_text()
