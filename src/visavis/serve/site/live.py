"""The live page: a browser's camera over a WebSocket; boxes and names come back."""

import asyncio
import json
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from visavis.errors import VisavisError
from visavis.serve.forms import Upload
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service
from visavis.serve.site.identify import face_words
from visavis.serve.site.visits import (
    SignInFirst,
    admitted,
    is_foreign,
    page_language,
    page_of,
    seen_by,
)
from visavis.serve.site.wording import texts_of

site_live = APIRouter(prefix="/live", include_in_schema=False)

FRAME_BYTES = 1_000_000  # of a picture
PATIENCE = 15.0  # seconds between two
REFUSED, IDLE, TOO_MUCH = 4403, 4408, 1013  # close codes: may not; no picture; too much to do


@site_live.get("", dependencies=[seen_by("viewer")])
def show_live(request: Request) -> HTMLResponse:
    """The page."""
    return page_of(request, "live")


@site_live.websocket("/pictures")
async def answer_pictures(socket: WebSocket) -> None:
    """For each picture that comes, its faces. Nothing is kept; who may not is not let in."""
    service: Service = socket.app.state.service
    if not await run_in_threadpool(_may, socket, service):
        await socket.close(REFUSED)
        return
    await socket.accept()
    texts = texts_of(page_language(socket))
    try:
        while True:
            data = await asyncio.wait_for(socket.receive_bytes(), PATIENCE)
            # Looked up for each picture: who is signed out or removed sees no more.
            if not await run_in_threadpool(_may, socket, service):
                await socket.close(REFUSED)
                return
            with service.desk.place():
                said = await service.desk.run(partial(_seen, service, data, texts))
            await socket.send_text(json.dumps(said))
    except WebSocketDisconnect:
        return
    except TimeoutError:
        await socket.close(IDLE)
    except Refusal:
        await socket.close(TOO_MUCH)


def _may(socket: WebSocket, service: Service) -> bool:
    """Whether a page of this service asks, and for somebody who may."""
    host = socket.headers.get("host", "")
    if not service.is_meant(host):
        return False
    if "origin" not in socket.headers or is_foreign(socket):
        return False
    try:
        admitted(socket, "viewer")
    except (SignInFirst, Refusal):
        return False
    return True


def _seen(service: Service, data: bytes, texts: Any) -> dict[str, Any]:
    """A picture's faces, or why there are none."""
    try:
        recognizer = service.recognizer
        photo = service.faces(Upload("camera", data), recognizer)
        faces = recognizer.search(photo, service.gallery)
    except VisavisError as error:
        return {"fault": texts["errors"].get(error.code, texts["errors"]["other"]), "faces": []}
    size = (photo.width, photo.height) * 2
    return {
        "faces": [
            {
                "box": [
                    round(float(value) / most, 4)
                    for value, most in zip(face.face.box, size, strict=True)
                ],
                **face_words(face, texts),
            }
            for face in faces
        ]
    }
