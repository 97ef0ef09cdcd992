"""Photos decoded in processes of their own, a few of them, each for one photo at a time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from queue import SimpleQueue
from threading import Timer
from typing import IO, Any

import numpy as np

from visavis.errors import ImageError
from visavis.faces import MAX_SIDE
from visavis.formats import UNKNOWN, kind_of
from visavis.image import Limits, Photo
from visavis.serve.decoding import TOO_LARGE, read_message, write_message
from visavis.serve.refusals import Refusal
from visavis.types import Image

TAKEN = ("JPEG", "PNG", "WebP")
LEAST_BYTES = 12  # what is shorter says of no format that it is one
# All that the process gets of this one's environment: no key, and no thread but its own.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


class DecoderProcess:
    """One process."""

    def __init__(self) -> None:
        path = {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "visavis.serve.decoding"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT | path,
            close_fds=True,
        )
        self._ready = False

    def ask(
        self, question: dict[str, Any], data: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Its answer. Raises EOFError where the process ended, or took longer and was ended."""
        clock = Timer(seconds, self._process.kill)
        clock.start()
        try:
            if not self._ready:
                read_message(self._pipe(self._process.stdout))
                self._ready = True
            write_message(self._pipe(self._process.stdin), question, data)
            return read_message(self._pipe(self._process.stdout))
        except BrokenPipeError as error:
            raise EOFError from error
        finally:
            clock.cancel()

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                self._pipe(pipe).close()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None  # both were asked for
        return pipe


class DecoderPool:
    """So many processes, each replaced when it ends."""

    def __init__(self, count: int, *, seconds: float) -> None:
        self._seconds = seconds
        self._idle: SimpleQueue[DecoderProcess] = SimpleQueue()
        self.replaced = 0
        self._all = count
        for _ in range(count):
            self._idle.put(DecoderProcess())

    def open(self, data: bytes, name: str, limits: Limits) -> Photo:
        """A photo, scanned already at the size at which faces are looked for.

        Raises Refusal for what is no photo that is taken, or over `limits`; ImageError for one that
        is damaged.
        """
        check_kind(data, name)
        scan, head = self._decode(data, name, limits, MAX_SIDE)

        def decode(max_side: int | None) -> Image:
            if max_side == MAX_SIDE:
                return scan
            return self._decode(data, name, limits, max_side)[0]

        return Photo(name, data, head["width"], head["height"], elsewhere=decode)

    def close(self) -> None:
        """End all processes, once each is idle."""
        for _ in range(self._all):
            self._idle.get().end()

    def _decode(
        self, data: bytes, name: str, limits: Limits, max_side: int | None
    ) -> tuple[Image, dict[str, Any]]:
        question = {"limits": asdict(limits), "max_side": max_side}
        try:
            with self._one() as decoder:
                head, pixels = decoder.ask(question, data, self._seconds)
        except EOFError as error:
            raise ImageError(
                f"{name}: the photo cannot be decoded within the limits of memory and time",
                mend="save it anew as a plain JPEG",
            ) from error
        if head.get("code") == TOO_LARGE:
            raise Refusal("too_large", f"{name}: {head['what']}", mend=head["mend"])
        if "code" in head:
            raise ImageError(f"{name}: {head['what']}", mend=head["mend"])
        return np.frombuffer(pixels, np.uint8).reshape(head["shape"]), head

    @contextmanager
    def _one(self) -> Iterator[DecoderProcess]:
        """An idle process; one that ends within the block is replaced."""
        decoder = self._idle.get()
        try:
            yield decoder
        except EOFError:
            decoder.end()
            decoder = DecoderProcess()
            self.replaced += 1
            raise
        finally:
            self._idle.put(decoder)


def check_kind(data: bytes, name: str) -> None:
    """Raise Refusal for a format that is not taken, by the first bytes; ImageError for hardly any
    bytes.
    """
    if len(data) < LEAST_BYTES:
        words = f"{len(data)} bytes" if data else "empty"
        raise ImageError(f"{name}: the file is {words}", mend="check that it was sent whole")
    kind = kind_of(data)
    if kind.name not in TAKEN:
        what = "of an unknown kind" if kind is UNKNOWN else kind.name
        raise Refusal(
            "unsupported",
            f"{name}: expected a photo as {', '.join(TAKEN)}; this is {what}",
            mend="save it as JPEG",
        )
