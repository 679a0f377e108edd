"""Operations on what belongs to a token or a team: who am I, kinds, problem sets."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.http import HttpRequest
from ninja import Router, Status

from engine.problems import BUNDLED, ProblemFormatError, bundled, parse_bytes
from jobs.kinds import all_kinds
from jobs.kinds.sampling.models import ProblemSet
from webapp.accounts.models import Team
from webapp.api.auth import may_write, reach_team, token_of
from webapp.api.errors import Problem
from webapp.api.models import ApiToken
from webapp.api.schemas import KindOut, Listing, Me, ProblemSetIn, ProblemSetOut, TeamOut
from webapp.experiments.kind_forms import kind_form

router = Router(tags=["teams"])


def _teams(token: ApiToken) -> list[dict[str, Any]]:
    roles = token.roles()
    teams = Team.objects.filter(pk__in=roles).order_by("name", "pk")
    return [
        {"code": team.code, "name": team.name, "role": roles[team.pk], "can_write": may_write(token, roles[team.pk])}
        for team in teams
    ]


@router.get("/me", response=Me, operation_id="get_me")
def get_me(request: HttpRequest) -> dict[str, Any]:
    """The token, whom it acts for, and the teams it reaches."""
    token = token_of(request)
    return {
        "token": {
            "name": token.name,
            "prefix": token.token_prefix,
            "scope": token.scope,
            "is_service_account": token.is_service_account,
            "expires_at": token.expires_at,
        },
        "person": token.user and {"code": token.user.code, "name": token.user.name},
        "teams": _teams(token),
    }


@router.get("/teams", response=Listing[TeamOut], operation_id="list_teams")
def list_teams(request: HttpRequest) -> dict[str, Any]:
    """The teams that the token reaches."""
    return {"items": _teams(token_of(request)), "next_cursor": None}


@router.get("/kinds", response=Listing[KindOut], operation_id="list_kinds", tags=["kinds"])
def list_kinds(request: HttpRequest) -> dict[str, Any]:
    """The kinds of experiments with their settings as JSON Schema, and presets to start from."""
    return {
        "items": [
            {
                "name": kind.name,
                "title": kind.title,
                "spec_schema": kind.Spec.model_json_schema(),
                "presets": [
                    {"name": card.name, "title": card.title, "help": card.help, "spec": card.values}
                    for card in kind_form(kind.name).presets()
                ],
            }
            for kind in all_kinds()
        ],
        "next_cursor": None,
    }


@router.get("/teams/{uuid:team}/problem-sets", response=Listing[ProblemSetOut], operation_id="list_problem_sets")
def list_problem_sets(request: HttpRequest, team: UUID) -> dict[str, Any]:
    """The sets that ship with Canopy and those that the team uploaded."""
    found, _ = reach_team(request, team)
    shipped = [
        {"value": f"bundled/{name}", "name": name, "count": len(bundled(name)), "bundled": True} for name in BUNDLED
    ]
    own = ProblemSet.objects.filter(team=found).order_by("name").defer("problems")
    return {"items": shipped + [_shown(one) for one in own], "next_cursor": None}


def _shown(one: ProblemSet) -> dict[str, Any]:
    return {"value": f"set/{one.code}", "name": one.name, "count": one.count, "bundled": False}


@router.post("/teams/{uuid:team}/problem-sets", response={201: ProblemSetOut}, operation_id="add_problem_set")
def add_problem_set(request: HttpRequest, team: UUID, body: ProblemSetIn) -> Status[dict[str, Any]]:
    """Keep a problem set for the team. The rules are those of the uploaded file; "line" in a refusal is the place in
    the list, from 1."""
    found, _ = reach_team(request, team, write=True)
    lines = "\n".join(json.dumps(one.model_dump(exclude_none=True)) for one in body.problems)
    try:
        problems = parse_bytes(lines.encode())
    except ProblemFormatError as error:
        raise Problem(422, "The set was not kept.", errors={"problems": str(error)}) from None
    records = [{"uid": one.uid, "question": one.question, "answer": one.answer} for one in problems]
    try:
        with transaction.atomic():
            made = ProblemSet.objects.create(
                team=found, name=body.name, problems=records, count=len(records), created_by=token_of(request).user
            )
    except IntegrityError:
        detail = f"Your team has a set called {body.name} already. Give this one another name."
        raise Problem(409, detail) from None
    return Status(201, _shown(made))
