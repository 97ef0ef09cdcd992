"""The page of settings: keys, users, webhooks, and the rules that are in force."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.answers.words import policies_words
from visavis.serve.hooks.delivery import Attempt
from visavis.serve.hooks.webhooks import EVENTS, HookEventKind
from visavis.serve.rest.webhooks import webhook_document
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import form_of, page_of, seen_by
from visavis.serve.who.keys import ROLES, Role
from visavis.serve.who.users import LEAST, MOST

site_settings = APIRouter(prefix="/settings", include_in_schema=False)

NameText = Annotated[str, Field(min_length=1, max_length=100)]


class KeyForm(BaseModel, extra="forbid"):
    """A key to make."""

    name: NameText
    scope: Role


class UserForm(BaseModel, extra="forbid"):
    """A user to add."""

    name: NameText
    password: Annotated[str, Field(min_length=LEAST, max_length=MOST)]
    scope: Role


class WebhookForm(BaseModel, extra="forbid"):
    """A webhook to make."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    events: Annotated[list[HookEventKind], Field(min_length=1, max_length=len(EVENTS))]


class KioskForm(BaseModel, extra="forbid"):
    """A kiosk to make a link for."""

    device: NameText


class RemovalForm(BaseModel, extra="forbid"):
    """A form that is a button."""


@site_settings.get("", dependencies=[seen_by("admin")])
def show_settings(request: Request) -> HTMLResponse:
    """Keys, users, rules."""
    service_of(request).note(request)
    return _shown(request)


@site_settings.post("/keys", dependencies=[seen_by("admin")])
async def make_key(request: Request, form: Annotated[KeyForm, form_of(KeyForm)]) -> HTMLResponse:
    """A new key: its text is shown this once."""
    service = service_of(request)

    def work() -> HTMLResponse:
        _, text = service.keys.make(form.name, form.scope)
        service.note(request)
        return _shown(request, text)

    page: HTMLResponse = await service.desk.run(work)
    return page


@site_settings.post("/kiosks", dependencies=[seen_by("admin")])
async def make_kiosk(
    request: Request, form: Annotated[KioskForm, form_of(KioskForm)]
) -> HTMLResponse:
    """A kiosk's link, with its new key behind the #: it is shown this once."""
    service = service_of(request)

    def work() -> HTMLResponse:
        _, text = service.keys.make(form.device, "kiosk", device=form.device)
        service.note(request)
        return _shown(request, f"{request.base_url}kiosk#{text}")

    page: HTMLResponse = await service.desk.run(work)
    return page


@site_settings.post("/keys/{key}/revoke", dependencies=[seen_by("admin")])
async def end_key(
    request: Request, key: str, form: Annotated[RemovalForm, form_of(RemovalForm)]
) -> Response:
    """A key opens nothing from now on."""
    return await _changed(request, lambda service: service.keys.revoke(key))


@site_settings.post("/users", dependencies=[seen_by("admin")])
async def add_user(request: Request, form: Annotated[UserForm, form_of(UserForm)]) -> Response:
    """A new user."""
    return await _changed(
        request, lambda service: service.users.add(form.name, form.password, form.scope)
    )


@site_settings.post("/users/{user}/remove", dependencies=[seen_by("admin")])
async def end_user(
    request: Request, user: str, form: Annotated[RemovalForm, form_of(RemovalForm)]
) -> Response:
    """A user may nothing from now on."""
    return await _changed(request, lambda service: service.users.remove(user))


@site_settings.post("/webhooks", dependencies=[seen_by("admin")])
async def make_webhook(
    request: Request, form: Annotated[WebhookForm, form_of(WebhookForm)]
) -> HTMLResponse:
    """A new webhook: its secret is shown this once."""
    service = service_of(request)

    def work() -> HTMLResponse:
        hook = service.webhooks.add(form.url, form.events)
        service.note(request)
        return _shown(request, secret=hook.secret)

    page: HTMLResponse = await service.desk.run(work)
    return page


@site_settings.post("/webhooks/{webhook}/test", dependencies=[seen_by("admin")])
async def tried_webhook(
    request: Request, webhook: str, form: Annotated[RemovalForm, form_of(RemovalForm)]
) -> HTMLResponse:
    """Send a webhook a test, and show what came of it."""
    service = service_of(request)

    def work() -> HTMLResponse:
        attempt = service.delivery.test(service.webhooks.one(webhook))
        service.note(request)
        return _shown(request, attempt=attempt)

    page: HTMLResponse = await service.desk.run(work)
    return page


@site_settings.post("/webhooks/{webhook}/remove", dependencies=[seen_by("admin")])
async def end_webhook(
    request: Request, webhook: str, form: Annotated[RemovalForm, form_of(RemovalForm)]
) -> Response:
    """Nothing is sent there from now on."""
    return await _changed(request, lambda service: service.remove_webhook(webhook))


async def _changed(request: Request, change: Callable[[Service], object]) -> Response:
    service = service_of(request)

    def work() -> None:
        change(service)
        service.note(request)

    await service.desk.run(work)
    return RedirectResponse("/settings", 303)


def _shown(
    request: Request, new_key: str = "", *, secret: str = "", attempt: Attempt | None = None
) -> HTMLResponse:
    service = service_of(request)
    values = {
        "keys": service.keys.all(),
        "users": service.users.all(),
        "scopes": ROLES,
        "new_key": new_key,
        "secret": secret,
        "attempt": attempt,
        "webhooks": [webhook_document(service, hook) for hook in service.webhooks.all()],
        "events": EVENTS,
        "policies": policies_words(service.recognizer.calibration),
        "consent": service.gallery.requires_consent,
    }
    return page_of(request, "settings", values)
