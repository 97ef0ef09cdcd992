"""Forms with photos: bounded while they arrive, kept in memory, and checked against their model."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Annotated, Any, Generic, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ValidationError, WithJsonSchema
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from visavis.serve.limits import MULTIPART, ROOM, SERVE_LIMITS, ServeLimits
from visavis.serve.refusals import Refusal, busy

M = TypeVar("M", bound=BaseModel)
CLOSE = {"Connection": "close"}  # what is left of the request is not waited for
NAME_SIGNS = 100  # of a file's name that are kept


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form. Its name is for people to read, and leads nowhere."""

    name: str
    data: bytes


@dataclass(frozen=True, eq=False, slots=True)
class Archived:
    """A large file of a form, on the disk without a name: it is gone with the process."""

    name: str
    file: IO[bytes]


Field = Upload | Archived | str
BINARY = {"type": "string", "format": "binary"}
PhotoField = Annotated[Upload, WithJsonSchema({**BINARY, "description": "JPEG, PNG or WebP"})]
Archive = Annotated[Archived, WithJsonSchema({**BINARY, "description": "a zip"})]


class InMemoryParser(MultiPartParser):
    """Starlette's parser, which writes no file to the disk."""

    spool_max_size = 1 << 40


class BodyBudget:
    """Bytes of all the requests that are being read."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Hold so many for the block. Raises Refusal, 503, where they are not free."""
        if self.held and self.held + count > self._most:
            raise busy("too many photos are arriving at once")
        self.held += count
        try:
            yield
        finally:
            self.held -= count


class Multipart(Generic[M]):
    """A dependency that reads a form as a model: refused early where it is too large or slow."""

    def __init__(
        self,
        model: type[M],
        *,
        photos: int,
        archive: bool = False,  # its one file is a zip, which is too large for the memory
        limits: ServeLimits = SERVE_LIMITS,
    ) -> None:
        self.model, self.limits, self._photos, self._archive = model, limits, photos, archive
        self._most = limits.archive + ROOM if archive else limits.body(photos)

    async def __call__(self, request: Request) -> M:
        """The form. Raises Refusal, before the rest is read."""
        fields = await self.fields(request)
        try:
            return checked(self.model, fields)
        except Refusal:
            for _, value in fields:
                if isinstance(value, Archived):
                    value.file.close()
            raise

    async def fields(self, request: Request) -> list[tuple[str, Field]]:
        """The fields of the form, unchecked. Raises Refusal, before the rest is read."""
        service = request.app.state.service
        declared = self._declared(request)
        with service.bodies.holding(ROOM if self._archive else declared):
            return await self._read(request)

    def documented(self) -> dict[str, Any]:
        """The form as OpenAPI describes it."""
        schema = self.model.model_json_schema()
        return {"requestBody": {"required": True, "content": {MULTIPART: {"schema": schema}}}}

    def _declared(self, request: Request) -> int:
        """How many bytes the form has at most."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != MULTIPART:
            what = f"expected a form as {MULTIPART}, got {kind or 'no content type'}"
            raise Refusal("unsupported", what, headers=CLOSE)
        length = request.headers.get("content-length", "")
        declared = int(length) if length.isdecimal() else self._most
        if declared > self._most:
            raise _too_large(self._most)
        return declared

    async def _read(self, request: Request) -> list[tuple[str, Field]]:
        limits = self.limits
        parser = (MultiPartParser if self._archive else InMemoryParser)(
            request.headers,
            bounded(request.stream(), self._most, limits),
            max_files=self._photos,
            max_fields=limits.fields,
            max_part_size=limits.field,
        )
        try:
            form = await parser.parse()
        except (MultiPartException, KeyError, UnicodeError) as error:
            what = getattr(error, "message", "") or "a part or the boundary is wrong"
            raise Refusal("bad_request", f"no whole form: {what}", headers=CLOSE) from error
        if self._archive:
            return [(name, _archived(one)) for name, one in form.multi_items()]
        try:
            return [(name, await _value(name, one, limits)) for name, one in form.multi_items()]
        finally:
            await form.close()


async def bounded(
    stream: AsyncGenerator[bytes, None], most: int, limits: ServeLimits
) -> AsyncGenerator[bytes, None]:
    """What arrives. Raises Refusal where that is more than it may be, or too slow."""
    started, received = time.monotonic(), 0
    while True:
        patience = started + limits.patience + received / limits.pace - time.monotonic()
        try:
            chunk = await asyncio.wait_for(anext(stream), max(patience, 0.001))
        except StopAsyncIteration:
            return
        except TimeoutError:
            what = f"the request arrives too slowly: {received} bytes so far"
            raise Refusal("timeout", what, headers=CLOSE) from None
        received += len(chunk)
        if received > most:
            raise _too_large(most)
        yield chunk


def checked(model: type[M], fields: Sequence[tuple[str, Field]]) -> M:
    """The model of what a form holds. Raises Refusal naming the field that is wrong."""
    values: dict[str, Any] = {}
    given: dict[str, list[Field]] = defaultdict(list)
    for name, value in fields:
        given[name].append(value)
    for name, several in given.items():
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            values[name] = several
        elif len(several) > 1:
            raise Refusal("invalid", f"{name}: expected it once, got it {len(several)} times")
        else:
            values[name] = several[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error.errors()) from error


def invalid(faults: Sequence[Any]) -> Refusal:
    """The first fault that pydantic names, without what came: that may be a photo."""
    first = faults[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body"))
    return Refusal("invalid", f"{place or 'the request'}: {first['msg']}")


def _archived(value: UploadFile | str) -> Field:
    if isinstance(value, str):
        return value
    return Archived(plain_name(value.filename or ""), value.file)


async def _value(name: str, value: UploadFile | str, limits: ServeLimits) -> Field:
    if isinstance(value, str):
        return value
    data = await value.read()
    if not value.filename and not data:
        return ""  # a browser's field in which no file was chosen
    limit = limits.photo.bytes
    if len(data) > limit:
        raise Refusal("too_large", f"{name}: over the limit of {limit / 1e6:.0f} MB")
    return Upload(plain_name(value.filename or "") or name, data)


def plain_name(name: str) -> str:
    """A file's name as it may be shown and kept: no folder, no control character, not long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(sign for sign in last if sign.isprintable())[:NAME_SIGNS].strip()


def _too_large(most: int) -> Refusal:
    what = f"the request is over the limit of {most / 1e6:.1f} MB"
    return Refusal("too_large", what, headers=CLOSE)
