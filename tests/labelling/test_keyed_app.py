from __future__ import annotations

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
