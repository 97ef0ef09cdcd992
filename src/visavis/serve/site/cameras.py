"""The page of the cameras that are watched: each one's picture, its faces, and what happened.

The picture is one answer that never ends (MJPEG), the lists are another (server-sent events).
Whether who looks still may is asked again and again: who is signed out sees no more.
"""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from visavis.gallery import Gallery
from visavis.serve.cameras import CameraBoard, CameraView, Newest, T
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import (
    SignInFirst,
    admitted,
    is_foreign,
    page_language,
    page_of,
    seen_by,
)
from visavis.serve.site.wording import texts_of

site_cameras = APIRouter(prefix="/cameras", include_in_schema=False)

CUT = "visavis-picture"
ASKED_AGAIN = 5.0  # seconds after which it is asked whether who looks still may
PULSE = 1.0  # seconds without news after which a list is written anew: names may be gone
CLASSES = {"confirmed": "match", "review": "review", "unknown": "no_match", "spoof": "no_match"}


@site_cameras.get("", dependencies=[seen_by("viewer")])
def show_cameras(request: Request) -> HTMLResponse:
    """The page of the first camera."""
    return show_camera(request, 0)


@site_cameras.get("/{number}", dependencies=[seen_by("viewer")])
def show_camera(request: Request, number: int) -> HTMLResponse:
    """The page of one camera, with links to the others."""
    service = service_of(request)
    view = _view(service, number)
    names = [one.name for one in service.cameras.views]
    return page_of(request, "cameras", {"number": number, "camera": view.name, "cameras": names})


@site_cameras.get("/{number}/pictures", dependencies=[seen_by("viewer")])
def send_pictures(request: Request, number: int) -> StreamingResponse:
    """The camera's pictures, the newest one each time."""
    view = _view(service_of(request), number)
    _check_viewer(request, view.pictures)
    return StreamingResponse(
        _pictures(request, view), media_type=f"multipart/x-mixed-replace; boundary={CUT}"
    )


@site_cameras.get("/{number}/events", dependencies=[seen_by("viewer")])
def send_events(request: Request, number: int) -> StreamingResponse:
    """Who is before the camera, and what happened, whenever that changes."""
    service = service_of(request)
    view = _view(service, number)
    _check_viewer(request, view.boards)
    service.note(request)
    return StreamingResponse(
        _lists(request, view, page_language(request)), media_type="text/event-stream"
    )


async def _pictures(request: Request, view: CameraView) -> AsyncIterator[bytes]:
    async for picture in _news(request, view.pictures):
        if picture is not None:
            head = f"--{CUT}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            yield head.encode() + picture + b"\r\n"


async def _lists(request: Request, view: CameraView, language: str) -> AsyncIterator[bytes]:
    gallery, sent, board = service_of(request).gallery, "", CameraBoard()
    async for news in _news(request, view.boards):
        board = news or board
        text = await run_in_threadpool(board_text, board, gallery, language)
        # A comment, where nothing is new, tells whether anybody is still there.
        yield f"data: {text}\n\n".encode() if text != sent else b":\n\n"
        sent = text


async def _news(request: Request, newest: Newest[T]) -> AsyncIterator[T | None]:
    """The newest value each time, for as long as who asks may see it; None while there is none."""
    service, number = service_of(request), 0
    with newest.viewed():
        due = time.monotonic() + ASKED_AGAIN
        while not service.stopping():
            if time.monotonic() >= due:
                if not await run_in_threadpool(still_may, request):
                    return
                due = time.monotonic() + ASKED_AGAIN
            number, value = await newest.after(number, PULSE)
            yield value


def still_may(request: Request) -> bool:
    """Whether who asks is still signed in, and may see the cameras."""
    try:
        admitted(request, "viewer")
    except (SignInFirst, Refusal):
        return False
    return True


def board_text(board: CameraBoard, gallery: Gallery, language: str) -> str:
    """A board as JSON, in words. Who was erased is not named any more."""
    people = [*(one.person for one in board.faces), *(one.person for one in board.told)]
    ids = {person for person in people if person}
    names = {person: known.name for person, known in gallery.people_of(ids).items()}
    texts = texts_of(language)["site"]
    said: dict[str, Any] = texts["cameras"]

    def title(state: str | None, person: str | None) -> str:
        name = names.get(person or "")
        if name is None:
            return str(said["states"].get(state, texts["identify"]["unknown"]))
        return str(texts["identify"]["perhaps"]).format(name=name) if state == "review" else name

    return json.dumps(
        {
            "status": said["statuses"][board.status],
            "faces": [
                {"title": title(one.state, one.person), "outcome": CLASSES.get(one.state, "")}
                for one in board.faces
            ],
            "told": [
                {"at": one.at, "said": said["kinds"].get(one.kind, one.kind).format(
                    name=title(one.state, one.person)), "text": one.text}
                for one in board.told
            ],
        }
    )  # fmt: skip


def _check_viewer(request: Request, newest: Newest[Any]) -> None:
    """Raise Refusal, 403, for what a page of elsewhere shows as its own, and 503 for too many."""
    if is_foreign(request):
        raise Refusal("forbidden", "the page is of another origin")
    newest.check_room()


def _view(service: Service, number: int) -> CameraView:
    """A camera by its number. Raises Refusal, 404."""
    if not 0 <= number < len(service.cameras.views):
        raise Refusal("not_found", "no such camera is watched")
    return service.cameras.views[number]
