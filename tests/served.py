"""A service that really listens, on this machine, for the block of a test."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from made import ANNA, AngleEmbedder, detect, picture
from made_photos import encoded

from visavis.decision import Calibration, OperatingPoint
from visavis.gallery import Gallery, open_gallery
from visavis.recognizer import Recognizer
from visavis.serve.run import ListenAddress, prepare, server_of
from visavis.serve.service import ServeSettings, Service
from visavis.serve.who.keys import Scope

PATIENCE = 20.0  # seconds for a service to begin and to end


@dataclass
class Served:
    """A running service, and a client of it."""

    service: Service
    http: httpx.Client
    key: str  # the first admin's
    server: uvicorn.Server

    @property
    def gallery(self) -> Gallery:
        return self.service.gallery

    @property
    def port(self) -> int:
        return int(self.http.base_url.port)

    def headers(self, scope: Scope | None = "admin") -> dict[str, str]:
        """What whoever has a key of this scope sends."""
        if scope is None:
            return {}
        device = "entry" if scope == "kiosk" else ""
        made = self.service.keys.make
        text = self.key if scope == "admin" else made("test", scope, device=device)[1]
        return {"Authorization": f"Bearer {text}"}

    def post(self, path: str, *photos: tuple[str, bytes], **fields: Any) -> httpx.Response:
        """An admin's form: photos by field, then other fields."""
        files = [(field, (f"{n}.png", data)) for n, (field, data) in enumerate(photos)]
        return self.http.post(path, data=fields, files=files, headers=self.headers())


@contextmanager
def served(recognizer: Recognizer, folder: Path, **settings: Any) -> Iterator[Served]:
    """A service around a recognizer and a gallery in a folder."""
    address = ListenAddress(port=0)
    asked = ServeSettings(**{"workers": 1, **settings})
    prepared = prepare(recognizer, open_gallery(folder), address, asked, new_key=True)
    server = server_of(prepared)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [prepared.listening]})
    thread.start()
    try:
        end = time.monotonic() + PATIENCE
        while not server.started:
            assert time.monotonic() < end
            time.sleep(0.005)
        with httpx.Client(base_url=prepared.url, timeout=PATIENCE) as client:
            yield Served(prepared.service, client, prepared.new_key or "", server)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def made_calibration() -> Calibration:
    """Rates of 1e-2 at 0.3, 1e-3 at 0.4, 1e-4 at 0.5."""
    points = tuple(
        OperatingPoint(threshold, rate / 2, rate, missed)
        for threshold, rate, missed in ((0.3, 1e-2, 0.01), (0.4, 1e-3, 0.02), (0.5, 1e-4, 0.05))
    )
    return Calibration("fake@0", "made", "0" * 64, 10, 45, 1000, points, 20.0, -8.0)


def made_recognizer(calibration: Calibration) -> Recognizer:
    """A recognizer of made photos: no network."""
    return Recognizer(detect, AngleEmbedder(), calibration)


def png(level: float = ANNA, **shown: int) -> bytes:
    """A made photo's file."""
    return encoded(picture(level, **shown))
