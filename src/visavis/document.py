"""JSON documents to frozen dataclasses and back. The dataclass says what a document may hold."""

import json
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from visavis.errors import VisavisError

T = TypeVar("T")


def parse(kind: type[T], data: bytes, source: str, error: type[VisavisError]) -> T:
    """The document as a `kind`: no unknown field, no missing one, no NaN.

    Raises `error`, which names `source` and the field.
    """
    try:
        return cast(T, _adapter(cast(Any, kind)).validate_json(data))
    except ValidationError as fault:
        first = fault.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the document"
        without_input = first["type"] in ("missing", "json_invalid")
        got = "" if without_input else f", got {first['input']!r:.80}"
        raise error(f"{source}: {field}: {first['msg']}{got}") from fault


def to_bytes(document: Any) -> bytes:
    """A dataclass as a JSON document: the same bytes for the same values."""
    return as_bytes(asdict(document))


def as_bytes(values: dict[str, Any]) -> bytes:
    """A JSON document's values, as `to_bytes` writes them."""
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(
        with_config(ConfigDict(extra="forbid", allow_inf_nan=False, strict=True))(kind)
    )
