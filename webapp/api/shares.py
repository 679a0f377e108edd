"""Operations on share links: what a team has, making one, pausing, resuming and revoking it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import ConfigDict, Field, StringConstraints

from webapp.accounts.models import Role
from webapp.api import cursors
from webapp.api.auth import count_submit, reach_team, token_of
from webapp.api.errors import Problem
from webapp.api.experiments import PAGE, Cursor, Limit
from webapp.api.schemas import EXAMPLE_CODE, Asked, Listing
from webapp.sharing import services
from webapp.sharing.forms import LinkFilters, select
from webapp.sharing.models import ShareLink
from webapp.sharing.passing_on import shown_once
from webapp.sharing.targets import CannotShare, target_of
from webapp.sharing.uses import write_pending
from webapp.sharing.words import scope_of

router = Router(tags=["sharing"])
MOST_DAYS = 3650
NO_NUL = r"^[^\x00]*$"


class ShareLinkIn(Asked):
    """``scope`` says which thing: {"experiment": code}, {"experiment": code, "chart": name}, or for a comparison
    {"query": its address after the question mark}."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "target": "experiment",
                    "scope": {"experiment": EXAMPLE_CODE},
                    "label": "for the reviewers",
                    "days": 30,
                    "anonymous": True,
                }
            ]
        },
    )
    target: str = Field(
        max_length=20, description="experiment, chart, comparison, board, scene.", examples=["experiment"]
    )
    scope: dict[str, Any] = Field(description="Which one.")
    label: Annotated[str, StringConstraints(max_length=80, pattern=NO_NUL, strip_whitespace=True)] = ""
    days: int | None = Field(default=30, ge=1, le=MOST_DAYS, description="How long it works; null: until revoked.")
    include_samples: bool = Field(default=True, description="Whether sample texts, or pictures, are shown.")
    anonymous: bool = Field(default=False, description="Hide people, team, machines and paths.")
    freeze: bool = Field(default=False, description="Show what is there now, whatever changes later.")
    embed_hosts: list[Annotated[str, StringConstraints(max_length=260)]] = Field(
        default_factory=list, max_length=services.MOST_HOSTS, description="Sites that may show it in a frame."
    )


class ShareLinkOut(Schema):
    code: UUID = Field(examples=[EXAMPLE_CODE])
    team: UUID
    target: str = Field(examples=["experiment"])
    scope: dict[str, Any]
    title: str | None = Field(description="Null when what it opened is gone.")
    label: str
    state: str = Field(description="open, paused, expired or revoked.", examples=["open"])
    prefix: str = Field(description="The first letters of its token.", examples=["Zk3v0a"])
    include_samples: bool
    anonymous: bool
    frozen_at: datetime | None
    embed_hosts: list[str]
    shows: list[str] = Field(description="What it opens, in words.")
    hides: list[str]
    terms: list[str]
    made_by: str
    created_at: datetime
    expires_at: datetime | None
    use_count: int
    last_used_at: datetime | None


class NewShareLinkOut(ShareLinkOut):
    """The addresses hold the token: this answer is the only one that has them."""

    url: str = Field(examples=["https://canopy.example.org/s/Zk3v0a.../"])
    qr: str = Field(description="The address as a QR code: an SVG as a data: URI.")
    embed_url: str = Field(description="For a frame; empty without embed_hosts.")
    embed_code: str = Field(description="HTML to paste; empty without embed_hosts.")


class RevokeIn(Asked):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"codes": [EXAMPLE_CODE]}]})
    codes: list[UUID] = Field(min_length=1, max_length=500)


class RevokedOut(Schema):
    revoked: list[UUID] = Field(description="Those that ended now; the others had ended, or are not yours to end.")


def _shown(link: ShareLink) -> dict[str, Any]:
    target, scope = target_of(link), scope_of(link)
    about = target.about(link) if target else None
    names = (
        "code", "target", "scope", "label", "include_samples", "anonymous", "embed_hosts", "created_at", "expires_at",
        "use_count", "last_used_at",
    )  # fmt: skip
    return {name: getattr(link, name) for name in names} | {
        "team": link.team.code,
        "title": about.title if about else None,
        "state": link.state,
        "prefix": link.token_prefix,
        "frozen_at": link.frozen.taken_at if link.frozen else None,
        "shows": scope.shows,
        "hides": scope.hides,
        "terms": scope.terms,
        "made_by": link.maker,
    }


@router.get("/teams/{uuid:team}/share-links", response=Listing[ShareLinkOut], operation_id="list_share_links")
def list_share_links(
    request: HttpRequest,
    team: UUID,
    state: Annotated[
        Literal["", "open", "paused", "expired", "revoked", "all"],
        Query(description="Only this state; left out: those that have not ended."),
    ] = "",
    target: Annotated[str, Query(max_length=20, description="Only links to this kind of thing.")] = "",
    mine: Annotated[bool, Query(description="Only those that the token's person made.")] = False,
    q: Annotated[
        str, Query(max_length=80, description="Part of the label, the experiment's or the maker's name.")
    ] = "",
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """The team's links, newest first. No token can be read again."""
    found, _ = reach_team(request, team)
    filters = LinkFilters(state=state, target=target.replace("\0", ""), mine=mine, q=q.replace("\0", "").strip())
    links = select(found, filters, token_of(request).user_id)
    if cursor:
        (last,) = cursors.decode(cursor, int)
        links = links.filter(pk__lt=last)
    rows = list(links.order_by("-pk")[: limit + 1])
    write_pending(rows)
    more, rows = len(rows) > limit, rows[:limit]
    return {"items": [_shown(link) for link in rows], "next_cursor": cursors.encode(rows[-1].pk) if more else None}


@router.post("/teams/{uuid:team}/share-links", response={201: NewShareLinkOut}, operation_id="make_share_link")
def make_share_link(request: HttpRequest, team: UUID, body: ShareLinkIn) -> Status[dict[str, Any]]:
    """Make a link. Its address is in this answer and never again."""
    found, _ = reach_team(request, team, write=True)
    count_submit(request)
    values = body.model_dump()
    days = values.pop("days")
    end = None if days is None else timezone.now() + timedelta(days=days)
    token = token_of(request)
    try:
        link, text = services.make_link(found, services.Options(**values, expires_at=end), by=token.user, token=token)
    except CannotShare as error:
        raise Problem(422, str(error), errors={"scope": str(error)}) from None
    once = shown_once(request, link, text)
    return Status(201, _shown(link) | {name: once[name] for name in ("url", "qr", "embed_url", "embed_code")})


@router.get("/share-links/{uuid:link}", response=ShareLinkOut, operation_id="get_share_link")
def get_share_link(request: HttpRequest, link: UUID) -> dict[str, Any]:
    """One link: what it shows, how often it was opened."""
    found = _find(request, link)
    write_pending([found])
    found.refresh_from_db(fields=["use_count", "last_used_at"])
    return _shown(found)


@router.post("/share-links/{uuid:link}/pause", response=ShareLinkOut, operation_id="pause_share_link")
def pause_share_link(request: HttpRequest, link: UUID) -> dict[str, Any]:
    """Let it rest; open pages are closed. Owners pause any link, members their own."""
    return _change(request, link, services.pause)


@router.post("/share-links/{uuid:link}/resume", response=ShareLinkOut, operation_id="resume_share_link")
def resume_share_link(request: HttpRequest, link: UUID) -> dict[str, Any]:
    """Let a paused link work again."""
    return _change(request, link, services.resume)


@router.post("/share-links/{uuid:link}/revoke", response=ShareLinkOut, operation_id="revoke_share_link")
def revoke_share_link(request: HttpRequest, link: UUID) -> dict[str, Any]:
    """End it for ever; open pages are closed."""
    return _change(request, link, services.revoke)


@router.post("/teams/{uuid:team}/share-links/revoke", response=RevokedOut, operation_id="revoke_share_links")
def revoke_share_links(request: HttpRequest, team: UUID, body: RevokeIn) -> dict[str, Any]:
    """End many at once, of those that the token may end."""
    found, role = reach_team(request, team, write=True)
    links = ShareLink.objects.filter(team=found, code__in=body.codes)
    return {"revoked": [link.code for link in links if _may_change(request, link, role) and services.revoke(link)]}


def _change(request: HttpRequest, code: UUID, change: Any) -> dict[str, Any]:
    link = _find(request, code)
    _, role = reach_team(request, link.team.code, write=True)
    if not _may_change(request, link, role):
        raise Problem(403, "Owners change any link, members the links they made themselves.")
    if not change(link) and link.has_ended and change is not services.revoke:
        raise Problem(409, "The link has ended and does not come back. Make a new one.")
    return _shown(link)


def _may_change(request: HttpRequest, link: ShareLink, role: str) -> bool:
    token = token_of(request)
    own = link.created_by_id == token.user_id if token.user_id else link.created_with_id == token.pk
    return role == Role.OWNER or own


def _find(request: HttpRequest, code: UUID) -> ShareLink:
    related = ("team", "experiment__team", "created_by", "created_with", "snapshot")
    link = ShareLink.objects.filter(code=code).select_related(*related).defer("snapshot__content").first()
    if link is None:
        raise Http404("no such link")
    reach_team(request, link.team.code)
    return link
