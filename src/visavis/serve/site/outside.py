"""Signing in at a provider of OpenID Connect: there, and back."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from visavis.serve.refusals import Refusal
from visavis.serve.service import BACK, service_of
from visavis.serve.site.login import local_path
from visavis.serve.site.visits import cookie_name, entered
from visavis.serve.who.oidc import PATIENCE, OidcLogin

site_outside = APIRouter(include_in_schema=False)


@site_outside.get("/login/oidc")
async def go_to_provider(
    request: Request, after: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """Send somebody to the provider. Their browser keeps the state that must come back."""
    oidc = _oidc(request)
    where, state = await run_in_threadpool(oidc.begin, local_path(after))
    answer = RedirectResponse(where, 303)
    name = _state_cookie(request)
    # Lax: it must come along when the provider leads back here.
    answer.set_cookie(
        name,
        state,
        max_age=int(PATIENCE),
        httponly=True,
        samesite="lax",
        secure=name.startswith("__Host"),
    )
    return answer


@site_outside.get(BACK)
async def come_back(request: Request) -> Response:
    """Begin a session for whom the provider let in."""
    oidc, name = _oidc(request), _state_cookie(request)
    kept = request.cookies.get(name, "")
    account, after = await run_in_threadpool(oidc.finish, request.query_params, kept)
    answer = entered(request, "oidc", account, after)
    answer.delete_cookie(name, httponly=True, samesite="lax", secure=name.startswith("__Host"))
    return answer


def _oidc(request: Request) -> OidcLogin:
    """The provider. Raises Refusal, 404, where there is none, and 429."""
    request.state.page = True
    service = service_of(request)
    if service.oidc is None:
        raise Refusal("not_found", "nobody signs in elsewhere here")
    service.guard.count_login(request.client.host if request.client else "")
    return service.oidc


def _state_cookie(request: Request) -> str:
    return f"{cookie_name(request)}_oidc"
