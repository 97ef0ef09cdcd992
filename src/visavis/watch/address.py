"""What a source is called, and what it is by that: a camera, a stream, a video, a folder.

An address may hold a password: `shown` is the only form of it that leaves this room. Opens nothing.
"""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from visavis.errors import SourceError

SourceKind = Literal["camera", "stream", "video", "folder"]
SCHEMES = ("rtsp", "rtsps", "http", "https")
MOST_CAMERAS = 100  # a number above is a mistake
HIDDEN = "***"
NAMED = re.compile(r"(\w[\w .-]*)=(.+)")  # a name, and what has it


@dataclass(frozen=True, slots=True)
class Address:
    """Where pictures come from."""

    kind: SourceKind
    target: str = field(repr=False)  # what is opened: it may hold a password
    shown: str  # what is told, logged and written

    @property
    def live(self) -> bool:
        """Whether its pictures are gone when they are not taken."""
        return self.kind in ("camera", "stream")


def parse_addresses(texts: Sequence[str]) -> list[Address]:
    """Several sources, each with a name of its own. Raises SourceError as `parse_address`."""
    addresses = [parse_address(text) for text in texts]
    names = [address.shown for address in addresses]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise SourceError(
            f"two sources are called {twice[0]}", mend="name them, as in entry=0 exit=1"
        )
    return addresses


def parse_address(text: str) -> Address:
    """The number of a camera, an rtsp or http address, a video's path, or a folder of pictures; or
    a name and one of these, as entry=0, which is then known by the name.

    Raises SourceError for what is none of them, is not there, or may not be read.
    """
    named = NAMED.fullmatch(text)
    if named and not Path(text).exists():
        return replace(_address(named[2]), shown=named[1])
    return _address(text)


def _address(text: str) -> Address:
    if text.isascii() and text.isdigit():
        return _camera(int(text))
    scheme, colon, _ = text.partition("://")
    if colon and scheme.lower() in SCHEMES:
        return Address("stream", text, without_secrets(text))
    path = Path(text)
    if not text or not path.exists():
        what = without_secrets(text) if colon else text
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise SourceError(
            f"{what}: no such video, folder or camera",
            mend=f"expected a file, a folder of pictures, a camera's number, or {known}",
        )
    if not os.access(path, os.R_OK):
        raise SourceError(f"{text}: permission denied", mend="let your account read it")
    return Address("folder" if path.is_dir() else "video", text, text)


def without_secrets(address: str) -> str:
    """An address without its user, its password, and what its query says."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{host[2]}" if host[1] else parts.netloc
    query = urlencode([(name, HIDDEN) for name, _ in parse_qsl(parts.query)], safe="*")
    return urlunsplit((parts.scheme, netloc, parts.path, query or (parts.query and HIDDEN), ""))


def _camera(number: int) -> Address:
    """The camera of that number. On Linux it is a file, which says more than a failed opening."""
    name = f"camera {number}"
    if number >= MOST_CAMERAS:
        raise SourceError(f"{name}: expected a camera's number below {MOST_CAMERAS}")
    device = Path(f"/dev/video{number}")
    if sys.platform == "linux":
        if not device.exists():
            cameras = sorted(path.name[5:] for path in device.parent.glob("video[0-9]*"))
            there = f"there are {', '.join(cameras)}" if cameras else "no camera is connected"
            raise SourceError(f"{name}: there is no {device}", mend=there)
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(
                f"{name}: permission denied for {device}",
                mend="add your account to the group video, and log in again",
            )
    return Address("camera", str(number), name)
