"""Operations on experiments: list, submit, read, change, act."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from ninja import Header, Query, Router, Status
from pydantic import BaseModel, ValidationError

from jobs import services
from jobs.kinds import get_kind
from jobs.kinds.base import Kind
from jobs.models import Experiment
from jobs.models import Status as ExperimentStatus
from webapp.accounts.models import Team, User
from webapp.api import cursors
from webapp.api.auth import count_submit, reach, reach_team, token_of
from webapp.api.errors import Problem
from webapp.api.models import ApiToken, IdempotencyKey
from webapp.api.schemas import (
    PRIORITIES,
    PRIORITY_NAMES,
    ChangeIn,
    EstimateIn,
    EstimateOut,
    ExperimentOut,
    ExtraDrawIn,
    ExtraDrawOut,
    Listing,
    MoreIn,
    RegradeIn,
    ScoreIn,
    SubmitIn,
)
from webapp.experiments import listing
from webapp.experiments.forms import fields_of, sentence
from webapp.experiments.kind_forms import kind_form
from webapp.experiments.sampling.extra import MOST_SPEND, CannotDraw, Unit, draw_where_it_helps, known_of, preview

router = Router(tags=["experiments"])
PAGE = 50
MOST = 200
KEY_LIFE = timedelta(hours=24)  # how long a repeated submit is recognised
SORTS = {"created": "created_at", "name": "name", "status": "status"}
Sort = Literal["-created", "created", "name", "-name", "status", "-status"]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Items on a page.")]
Cursor = Annotated[str, Query(max_length=1000, description="next_cursor of the page before.")]


def shown(request: HttpRequest, row: listing.Row) -> dict[str, Any]:
    experiment = row.experiment
    return {
        "code": experiment.code,
        "team": experiment.team.code,
        "kind": experiment.kind,
        "name": experiment.name,
        "status": experiment.status,
        "reason": experiment.reason,
        "priority": PRIORITY_NAMES.get(experiment.priority, "normal"),
        "owner": experiment.owner and {"code": experiment.owner.code, "name": experiment.owner.name},
        "spec": experiment.spec,
        "summary": experiment.summary,
        "percent": row.percent,
        "seq": experiment.last_seq,
        "created_at": experiment.created_at,
        "started_at": experiment.started_at,
        "finished_at": experiment.finished_at,
        "url": request.build_absolute_uri(reverse("experiment", args=[experiment.code])),
    }


def show(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    """As it is in the database now."""
    fresh = Experiment.objects.select_related("team", "owner").get(pk=experiment.pk)
    return shown(request, listing.rows([fresh])[0])


# --- lists ------------------------------------------------------------------------------------------------------------


@router.get("/teams/{uuid:team}/experiments", response=Listing[ExperimentOut], operation_id="list_experiments")
def list_experiments(
    request: HttpRequest,
    team: UUID,
    kind: Annotated[str, Query(max_length=20, description="Only this kind.")] = "",
    status: Annotated[ExperimentStatus | None, Query(description="Only this status.")] = None,
    owner: Annotated[UUID | None, Query(description="Only this person's.")] = None,
    q: Annotated[str, Query(max_length=200, description="Part of the name or of the model's name.")] = "",
    sort: Sort = "-created",
    limit: Limit = PAGE,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """The team's experiments, newest first unless ``sort`` says otherwise."""
    found, _ = reach_team(request, team)
    query = listing.ListQuery(
        tab=kind or listing.ALL,
        text=q.replace("\0", "").strip(),
        status=status.value if status else "",
        owner=owner,
    )
    # The user only matters to the tab "mine", which the API spells ?owner=.
    selected = listing.select(found, cast(User, token_of(request).user), query).select_related("team")
    if kind == listing.MINE:
        raise Problem(422, "There is no such kind.", errors={"kind": "Use ?owner= with a person's code instead."})
    column = SORTS[sort.removeprefix("-")]
    down = sort.startswith("-")
    if cursor:
        selected = selected.filter(_beyond(column, down, *_key(sort, cursor)))
    rows = list(selected.order_by(f"-{column}" if down else column, "-pk" if down else "pk")[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return {
        "items": [shown(request, row) for row in listing.rows(rows)],
        "next_cursor": cursors.encode(sort, _text(getattr(rows[-1], column)), rows[-1].pk) if more else None,
    }


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _key(sort: str, cursor: str) -> tuple[Any, int]:
    used, value, pk = cursors.decode(cursor, str, str, int)
    if used != sort or "\0" in value:
        raise cursors.wrong()
    if SORTS[sort.removeprefix("-")] != "created_at":
        return value, pk
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise cursors.wrong() from None
    if timezone.is_naive(moment):
        raise cursors.wrong()
    return moment, pk


def _beyond(column: str, down: bool, value: Any, pk: int) -> Q:
    """Rows after (value, pk) in the order of the list: no row is skipped or shown twice when others come and go."""
    side = "lt" if down else "gt"
    return Q(**{f"{column}__{side}": value}) | Q(**{column: value, f"pk__{side}": pk})


# --- submit -----------------------------------------------------------------------------------------------------------


@router.post("/teams/{uuid:team}/experiments", response={201: ExperimentOut}, operation_id="submit_experiment")
def submit_experiment(
    request: HttpRequest,
    response: HttpResponse,
    team: UUID,
    body: SubmitIn,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[\x21-\x7e]+$",
            description="A text of your own, such as a UUID. A request repeated with the same key and body within 24 "
            "hours submits nothing anew and gets the same experiment.",
            examples=["3d0c9f2e-nightly-2031-04-01"],
        ),
    ] = None,
) -> Status[dict[str, Any]]:
    """Submit an experiment. It is validated as the form validates it."""
    found, _ = reach_team(request, team, write=True)
    count_submit(request)
    with transaction.atomic():
        key = _claim_key(request, team, body, idempotency_key)
        if key is not None and key.experiment is not None:
            experiment = key.experiment
            response["Idempotency-Replayed"] = "true"
        else:
            experiment = _submit(token_of(request), found, body)
            if key is not None:
                key.experiment = experiment
                key.save(update_fields=["experiment"])
    response["Location"] = reverse("api-v1:get_experiment", args=[experiment.code])
    return Status(201, show(request, experiment))


def _claim_key(request: HttpRequest, team: UUID, body: SubmitIn, key: str | None) -> IdempotencyKey | None:
    """The key's row, new or with the experiment it made before. Of two requests at once, one waits for the other."""
    if key is None:
        return None
    token = token_of(request)
    digest = hashlib.sha256(json.dumps([str(team), body.model_dump(mode="json")], sort_keys=True).encode()).hexdigest()
    IdempotencyKey.objects.filter(token=token, created_at__lt=timezone.now() - KEY_LIFE).delete()
    row, is_new = IdempotencyKey.objects.get_or_create(token=token, key=key, defaults={"digest": digest})
    if row.digest != digest:
        raise Problem(409, "This Idempotency-Key was used with another request. Use a new key for a new submit.")
    if not is_new and row.experiment is None:
        raise Problem(409, "The experiment that this key submitted was deleted. Use a new key to submit it again.")
    return row


def _submit(token: ApiToken, team: Team, body: SubmitIn) -> Experiment:
    kind = known_kind(body.kind)
    spec = valid_spec(kind, body.spec, team)
    name = body.name or kind_form(kind.name).default_name(spec, team)[:120]
    return services.submit(
        team=team,
        owner=token.user,
        kind=kind.name,
        name=name,
        spec=spec,
        priority=PRIORITIES[body.priority],
        by=token.actor,
    )


def known_kind(name: str) -> Kind:
    try:
        return get_kind(name)
    except KeyError:
        problem = {"kind": "Use the name of one of GET /kinds."}
        raise Problem(422, "There is no such kind of experiment.", errors=problem) from None


def valid_spec(kind: Kind, values: dict[str, Any], team: Team) -> BaseModel:
    """The Spec; Problem 422 with the form's own sentences, by field."""
    fields = {field.name: field for field in fields_of(kind.Spec)}
    errors: dict[str, str] = {}
    try:
        spec = kind.Spec.model_validate(values)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            name = str(error["loc"][0]) if error["loc"] else ""
            errors.setdefault(f"spec.{name}".rstrip("."), sentence(fields.get(name), error))
    else:
        errors = {f"spec.{name}": text for name, text in kind_form(kind.name).check(spec, team).items()}
    if errors:
        raise Problem(422, "The spec cannot be run as it is; errors says what to change.", errors=errors)
    return spec


@router.post("/teams/{uuid:team}/estimates", response=EstimateOut, operation_id="estimate_experiment")
def estimate_experiment(request: HttpRequest, team: UUID, body: EstimateIn) -> dict[str, Any]:
    """What an experiment would take, without submitting it. A token that may only read can ask too."""
    found, _ = reach_team(request, team)
    kind = known_kind(body.kind)
    known = kind_form(kind.name).estimate(valid_spec(kind, body.spec, found), found)
    return {"rows": [row._asdict() for row in known.rows], "note": known.note}


# --- one experiment ---------------------------------------------------------------------------------------------------


@router.get(
    "/experiments/{uuid:code}", response=ExperimentOut, operation_id="get_experiment", url_name="get_experiment"
)
def get_experiment(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """One experiment with its spec and summary."""
    return show(request, reach(request, code).experiment)


@router.patch("/experiments/{uuid:code}", response=ExperimentOut, operation_id="change_experiment")
def change_experiment(request: HttpRequest, code: UUID, body: ChangeIn) -> dict[str, Any]:
    """Rename it, or change its priority while it has not ended."""
    experiment = reach(request, code, write=True).experiment
    with transaction.atomic():  # both or neither
        if body.name is not None:
            services.rename(experiment=experiment, name=body.name)
        if body.priority is not None:
            services.set_priority(experiment=experiment, priority=PRIORITIES[body.priority])
    return show(request, experiment)


@router.delete("/experiments/{uuid:code}", response={204: None}, operation_id="delete_experiment")
def delete_experiment(request: HttpRequest, code: UUID) -> Status[None]:
    """Delete an ended experiment with its samples and files. There is no way back."""
    services.delete(experiment=reach(request, code, write=True).experiment)
    return Status(204, None)


@router.post("/experiments/{uuid:code}/cancel", response=ExperimentOut, operation_id="cancel_experiment")
def cancel_experiment(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """Stop it. What was recorded stays."""
    experiment = reach(request, code, write=True).experiment
    services.cancel(experiment=experiment, by=token_of(request).actor)
    return show(request, experiment)


@router.post("/experiments/{uuid:code}/retry", response=ExperimentOut, operation_id="retry_experiment")
def retry_experiment(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """Queue what failed or was cancelled once more; nothing done is done again."""
    experiment = reach(request, code, write=True).experiment
    services.retry(experiment=experiment)
    return show(request, experiment)


@router.post("/experiments/{uuid:code}/more", response=ExperimentOut, operation_id="draw_more")
def draw_more(request: HttpRequest, code: UUID, body: MoreIn) -> dict[str, Any]:
    """Raise the number of samples per problem."""
    experiment = reach(request, code, write=True).experiment
    services.draw_more(experiment=experiment, samples=body.samples)
    return show(request, experiment)


@router.get(
    "/experiments/{uuid:code}/extra-draw",
    response=ExtraDrawOut,
    operation_id="preview_extra_draw",
    tags=["sampling"],
    openapi_extra={"responses": {409: {"description": "Nothing can be drawn; detail says why"}}},
)
def preview_extra_draw(
    request: HttpRequest,
    code: UUID,
    spend: Annotated[
        float | None,
        Query(
            gt=0,
            le=MOST_SPEND,
            description="How much to spend, in the unit. Left out: as many samples as the unsolved problems had.",
        ),
    ] = None,
    unit: Annotated[Unit, Query(description="What spend counts.")] = "samples",
) -> dict[str, Any]:
    """What drawing more where it helps would do: who gets how many samples, and what that is expected to bring. A
    model-based estimate; nothing is drawn."""
    experiment = _sampling(reach(request, code).experiment)
    known = known_of(experiment)
    try:
        if spend is None:
            found = preview(experiment, known.usual_spend(experiment), "samples", known)
        else:
            found = preview(experiment, spend, unit, known)
    except CannotDraw as error:
        raise Problem(409, str(error)) from None
    names = ("number", "samples", "problems", "unsolved", "newly_solved", "lo", "hi", "evenly")
    groups = [{"samples": more, "problems": problems} for more, problems in found.groups]
    costs = {"tokens": found.tokens, "worker_seconds": found.seconds, "dollars": found.dollars}
    return {name: getattr(found, name) for name in names} | costs | {"groups": groups}


@router.post(
    "/experiments/{uuid:code}/extra-draw", response=ExperimentOut, operation_id="draw_where_it_helps", tags=["sampling"]
)
def draw_extra(request: HttpRequest, code: UUID, body: ExtraDrawIn) -> dict[str, Any]:
    """Draw more samples of the problems where they are expected to solve most, as the preview shows. Estimates of
    coverage leave these samples out: who got them was decided by looking at the results."""
    experiment = _sampling(reach(request, code, write=True).experiment)
    try:
        draw_where_it_helps(experiment, body.spend, body.unit, body.number)
    except CannotDraw as error:
        raise Problem(409, str(error)) from None
    return show(request, experiment)


def _sampling(experiment: Experiment) -> Experiment:
    if experiment.kind != "sampling":
        raise Http404("experiments of other kinds have no samples")
    return experiment


@router.post("/experiments/{uuid:code}/regrade", response=ExperimentOut, operation_id="regrade_experiment")
def regrade_experiment(request: HttpRequest, code: UUID, body: RegradeIn) -> dict[str, Any]:
    """Grade every sample again with another verifier; none is drawn anew."""
    experiment = reach(request, code, write=True).experiment
    services.regrade(experiment=experiment, verifier=body.verifier)
    return show(request, experiment)


@router.post("/experiments/{uuid:code}/score", response=ExperimentOut, operation_id="score_experiment")
def score_experiment(request: HttpRequest, code: UUID, body: ScoreIn) -> dict[str, Any]:
    """Score every sample with a reward model; none is drawn or graded anew."""
    experiment = reach(request, code, write=True).experiment
    services.score(experiment=experiment, scorer=body.scorer, label=body.label)
    return show(request, experiment)
