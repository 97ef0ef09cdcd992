"""Every route of the running application is held against every scope, in one of two tables."""

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("argon2")

from fastapi import APIRouter, FastAPI
from test_serve_access import LEAST as OF_KEYS
from test_serve_login import LEAST as OF_PAGES

# Held against sessions in test_serve_site.py.
SOCKETS = {("WEBSOCKET", "/live/pictures")}


def routes_of(routed: Any) -> Iterator[tuple[str, str]]:
    """Method and path of all that answers, however it was added: routers within routers, files
    that are mounted, sockets.
    """
    for route in routed.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes_of(inner)
        else:
            for method in getattr(route, "methods", None) or {"WEBSOCKET"}:
                yield method, route.path


def test_no_route_is_forgotten(site):
    answered = sorted(routes_of(site.server.config.app))
    assert len(answered) == len(set(answered))
    assert set(answered) == {*OF_KEYS, *OF_PAGES, *SOCKETS}
    assert not set(OF_KEYS) & set(OF_PAGES)


def test_a_route_is_seen_however_it_is_added():
    app, outer, inner = FastAPI(openapi_url=None), APIRouter(prefix="/a"), APIRouter(prefix="/b")
    inner.get("/c")(lambda: None)
    inner.websocket("/d")(lambda: None)
    outer.include_router(inner)
    app.include_router(outer)
    app.post("/e")(lambda: None)
    app.mount("/f", FastAPI(openapi_url=None))
    seen = {path.rpartition("/")[2] for _, path in routes_of(app)}
    assert seen >= {"c", "d", "e", "f"}
