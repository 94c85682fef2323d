"""The page for people who want to see what the API can do."""

import re

import pytest
from support.office import Office


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
