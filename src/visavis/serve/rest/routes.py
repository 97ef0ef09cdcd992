"""What every route says of itself: its answer, its errors, its form."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from visavis.serve.refusals import REFUSED
from visavis.serve.rest.examples import EXAMPLES, content_of, error_example
from visavis.serve.rest.shapes import ErrorShape

ALWAYS = ("unauthorized", "forbidden", "too_many", "busy")
OF_FORMS = ("bad_request", "timeout", "too_large", "unsupported", "invalid")
WORDS = {
    400: "not whole, or not as HTTP has it",
    401: "no key, or none that is known",
    403: "the key's scope does not reach",
    404: "nothing here has this id",
    405: "not with this method",
    408: "it arrived too slowly",
    409: "it contradicts what is there",
    413: "a photo or the request is over a limit",
    415: "no photo that is taken, or no form",
    422: "a field is wrong, or a photo is of no use; the code says why",
    429: "too many requests with this key",
    503: "too much to do: Retry-After says when to ask again",
    507: "the disk is full; nothing was lost",
}


def told(
    shape: type[BaseModel], *codes: str, form: bool = False, status: int = 200
) -> Mapping[int | str, dict[str, Any]]:
    """The responses of a route, for OpenAPI."""
    refused = {REFUSED[code] for code in (*ALWAYS, *codes, *(OF_FORMS if form else ()))}
    errors: dict[int | str, dict[str, Any]] = {
        one: {
            "model": ErrorShape,
            "description": WORDS[one],
            "content": content_of(error_example(one)),
        }
        for one in sorted(refused)
    }
    return {status: response_of(shape, "done"), **errors}


def response_of(shape: type[BaseModel], words: str) -> dict[str, Any]:
    """A response of this shape, with its example."""
    return {"model": shape, "description": words, "content": content_of(EXAMPLES[shape])}
