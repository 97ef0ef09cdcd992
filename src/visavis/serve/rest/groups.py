"""Routes about groups of people: among whom a search may be."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.answers.people import groups_json
from visavis.errors import PersonError
from visavis.gallery import Gallery
from visavis.gallery.groups import add_to_group, group_members, group_sizes, remove_from_group
from visavis.serve.once import WriteAnswer
from visavis.serve.refusals import Refusal
from visavis.serve.rest.kept import GroupedShape, GroupShape, GroupsShape, UngroupedShape
from visavis.serve.rest.people import PAGE, cursor_of, place_of
from visavis.serve.rest.photos import GroupField
from visavis.serve.rest.routes import told
from visavis.serve.service import service_of, write_once
from visavis.serve.who.access import needs

groups = APIRouter(prefix="/v1", tags=["groups"])

MOST_REGROUPED = 1000  # people in one request


class Regrouping(BaseModel, extra="forbid"):
    """A group, and the ids of the people that it gets or loses: all of them or none."""

    group: GroupField
    people: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=1, max_length=MOST_REGROUPED
    )


@groups.get("/groups", dependencies=[needs("viewer")], responses={**told(GroupsShape)})
def list_groups(request: Request) -> JSONResponse:
    """Every group, with the number of its people."""
    service = service_of(request)
    service.note(request)
    return JSONResponse(groups_json(group_sizes(service.gallery)))


@groups.get(
    "/groups/{group:path}",
    dependencies=[needs("viewer")],
    responses={**told(GroupShape, "not_found", "invalid")},
)
def show_group(
    request: Request,
    group: Annotated[str, Path(min_length=1, max_length=200)],
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE,
) -> JSONResponse:
    """Who is in a group, by name, a page at a time."""
    service = service_of(request)
    after = place_of(service, cursor) if cursor else None
    try:
        members = group_members(service.gallery, group)
    except PersonError as error:
        raise Refusal("not_found", f"nobody is in a group {group!r}") from error
    service.note(request)
    left = [one for one in members if after is None or (one.name, one.id) > after]
    page = left[:limit]
    more = cursor_of(service, (page[-1].name, page[-1].id)) if len(left) > limit else None
    people = [asdict(one) for one in page]
    return JSONResponse({"group": group, "people": people, "next": more})


@groups.post(
    "/groups:add",
    dependencies=[needs("operator")],
    responses={**told(GroupedShape, "invalid", "conflict")},
)
def add_members(request: Request, asked: Regrouping) -> JSONResponse:
    """Put people into a group, which is made by its first; who was in it already is not told."""
    return _regroup(request, asked, add_to_group, "added")


@groups.post(
    "/groups:remove",
    dependencies=[needs("operator")],
    responses={**told(UngroupedShape, "invalid", "conflict")},
)
def remove_members(request: Request, asked: Regrouping) -> JSONResponse:
    """Take people out of a group. They stay in the gallery; a group of nobody is gone."""
    return _regroup(request, asked, remove_from_group, "removed")


def _regroup(
    request: Request,
    asked: Regrouping,
    change: Callable[[Gallery, str, Iterable[str]], list[str]],
    key: str,
) -> JSONResponse:
    gallery = service_of(request).gallery

    def work() -> WriteAnswer:
        changed = change(gallery, asked.group, asked.people)
        people: list[dict[str, Any]] = [asdict(one) for one in gallery.people_of(changed).values()]
        return WriteAnswer({"group": asked.group, key: people})

    return write_once(request, asked, work)
