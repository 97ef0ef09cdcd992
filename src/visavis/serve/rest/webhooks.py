"""Routes about webhooks: where events go. An admin makes and removes them."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.serve.hooks.webhooks import EVENTS, HookEventKind, Webhook
from visavis.serve.once import WriteAnswer
from visavis.serve.rest.kept import (
    NewWebhookShape,
    WebhookRemovedShape,
    WebhooksShape,
    WebhookTestedShape,
)
from visavis.serve.rest.routes import told
from visavis.serve.service import Service, service_of, write_once
from visavis.serve.who.access import needs

webhooks = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


class NewWebhook(BaseModel, extra="forbid"):
    """A webhook to make."""

    url: str = Field(min_length=1, max_length=2000, description="https, and no private network")
    events: list[HookEventKind] = Field(min_length=1, max_length=len(EVENTS))


@webhooks.get("", dependencies=[needs("admin")], responses={**told(WebhooksShape)})
def list_webhooks(request: Request) -> JSONResponse:
    """Every webhook, what waits for it, and what came of the last try; no secret."""
    service = service_of(request)
    service.note(request)
    listed = [webhook_document(service, hook) for hook in service.webhooks.all()]
    return JSONResponse({"webhooks": listed})


@webhooks.post(
    "",
    status_code=201,
    dependencies=[needs("admin")],
    responses={**told(NewWebhookShape, "invalid", "conflict", status=201)},
)
def new_webhook(request: Request, new: NewWebhook) -> JSONResponse:
    """A new webhook. The secret that signs its events is told this once; an `Idempotency-Key` is
    not taken, because the secret would have to be kept with it.
    """
    service = service_of(request)
    hook = service.webhooks.add(new.url, new.events)
    service.note(request)
    document = {"webhook": webhook_document(service, hook), "secret": hook.secret}
    return JSONResponse(document, 201)


@webhooks.delete(
    "/{webhook}",
    dependencies=[needs("admin")],
    responses={**told(WebhookRemovedShape, "not_found", "conflict", "invalid")},
)
def remove_webhook(request: Request, webhook: str) -> JSONResponse:
    """Nothing is sent there from now on; what waits for it is dropped."""
    service = service_of(request)

    def work() -> WriteAnswer:
        service.remove_webhook(webhook)
        return WriteAnswer({"removed": webhook})

    return write_once(request, None, work)


@webhooks.post(
    "/{webhook}:test",
    dependencies=[needs("admin")],
    responses={**told(WebhookTestedShape, "not_found", "invalid")},
)
def try_webhook(request: Request, webhook: str) -> JSONResponse:
    """Send an event `test` now, and tell what came of it."""
    service = service_of(request)
    attempt = service.delivery.test(service.webhooks.one(webhook))
    service.note(request)
    document = {"delivered": attempt.delivered, "status": attempt.status, "reason": attempt.reason}
    return JSONResponse(document)


def webhook_document(service: Service, hook: Webhook) -> dict[str, Any]:
    """A webhook without its secret."""
    last = service.delivery.last(hook.id)
    return {
        "id": hook.id,
        "url": hook.url,
        "events": list(hook.events),
        "made_at": hook.made_at,
        "off": hook.off,
        "waiting": service.outbox.waiting(hook.id),
        "last_status": last.status if last else None,
        "last_reason": last.reason if last else "",
    }
