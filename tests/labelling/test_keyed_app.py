from __future__ import annotations

import asyncio

import pytest
from fastapi.testclient import TestClient

from headstart.errors import SpecError
from headstart.labelling.keyed_app import keyed_app


def refuse() -> None:
    raise SpecError("no such thing: choose another")


def test_it_tells_of_changes_that_were_made_and_of_its_end() -> None:
    told: list[str] = []
    app = keyed_app("t", "key", {}, changed=lambda: told.append("changed"), closed=lambda: told.append("closed"))
    app.get("/read")(lambda: 1)
    app.post("/write")(lambda: 1)
    app.post("/refuse")(refuse)
    with TestClient(app) as client:
        assert told == ["changed"] and client.post("/write").status_code == 401
        client.get("/open/key")
        assert client.get("/read").status_code == client.post("/write").status_code == 200
        refused = client.post("/refuse")
        assert refused.status_code == 422 and refused.json() == {"detail": "no such thing: choose another"}
    assert told == ["changed", "changed", "closed"]


def test_its_end_is_told_where_the_server_is_interrupted() -> None:
    told: list[str] = []
    app = keyed_app("t", "key", {}, closed=lambda: told.append("closed"))

    async def interrupted() -> None:
        async with app.router.lifespan_context(app):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert told == ["closed"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program
        ({"Origin": "http://127.0.0.1:8011"}, 200),
        ({"Origin": "http://127.0.0.1:9000"}, 403),  # another port: the browser sends it the same cookie
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy"}, 200),  # a proxy that names another host
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_what_another_page_sends_changes_nothing(headers: dict[str, str], status: int) -> None:
    told: list[str] = []
    app = keyed_app("t", "key", {}, changed=lambda: told.append("changed"))
    app.post("/write")(lambda: told.append("written"))
    with TestClient(app, base_url="http://127.0.0.1:8011") as client:
        client.get("/open/key")
        told.clear()
        assert client.post("/write", headers=headers).status_code == status
    assert told == (["written", "changed"] if status == 200 else [])


def test_the_key_is_in_a_cookie_of_this_port_that_scripts_and_other_sites_cannot_use() -> None:
    app = keyed_app("t", "key", {"": "review.html"})
    with TestClient(app, base_url="http://127.0.0.1:8011") as client:
        opened = client.get("/open/key", follow_redirects=False)
        cookie = opened.headers["set-cookie"].lower()
        assert cookie.startswith("headstart-8011=key;") and "httponly" in cookie and "samesite=strict" in cookie
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html") and page.headers["cache-control"] == "no-cache"
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert page.headers["referrer-policy"] == "no-referrer"
