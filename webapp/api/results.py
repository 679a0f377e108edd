"""Operations on what an experiment made: live state, files, and the problems, samples and curve of sampling."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse
from ninja import Query, Router
from pydantic import Field

from jobs.kinds.sampling.curve import ESTIMATOR
from jobs.kinds.sampling.models import Problem as SampledProblem
from jobs.kinds.sampling.models import Sample, SampleText, Verdict
from jobs.kinds.sampling.rewards import rewards_of
from jobs.kinds.sampling.spec import MAX_SAMPLES
from jobs.models import Artifact, Experiment
from webapp.api import cursors
from webapp.api.auth import reach
from webapp.api.experiments import Cursor
from webapp.api.schemas import CurveOut, FileOut, Listing, LiveState, ProblemOut, SampleListing, SampleOut
from webapp.experiments import downloads
from webapp.experiments.offline import views as offline
from webapp.experiments.sampling import samples
from webapp.experiments.sampling.counters import load_counters
from webapp.experiments.sampling.filters import LONGEST_SEARCH, Filters
from webapp.experiments.views_live import live_response

router = Router(tags=["results"])
LARGEST = 2**63 - 1
SAMPLES = 100
MOST_SAMPLES = 1_000
MOST_POINTS = 200

After = Annotated[int, Query(ge=0, le=LARGEST, description="The seq of the last state you have; 0: everything.")]
Index = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only this problem, by its index.")]


# --- live -------------------------------------------------------------------------------------------------------------


@router.get("/experiments/{uuid:code}/live", response=LiveState, operation_id="get_live_state")
def get_live_state(request: HttpRequest, code: UUID, after: After = 0) -> HttpResponseBase:
    """What the experiment's page draws: the state now, and what changed after ``after``. Its ETag leaves out the
    clock, so that a poll of an experiment at rest gets 304."""
    return live_response(request, reach(request, code), after)


# --- files ------------------------------------------------------------------------------------------------------------


@router.get("/experiments/{uuid:code}/files", response=Listing[FileOut], operation_id="list_files")
def list_files(request: HttpRequest, code: UUID) -> dict[str, Any]:
    """Files made from rows while they are sent, and files that the experiment kept, such as Parquet."""
    page = reach(request, code)
    made = downloads.offered_downloads(page)
    items = [_file(request, page.experiment, name, item.title, item.content_type, None) for name, item in made.items()]
    kept = page.experiment.artifacts.exclude(name__in=made).order_by("name")
    items += [_file(request, page.experiment, one.name, one.name, one.content_type, one.size) for one in kept]
    return {"items": items, "next_cursor": None}


def _file(
    request: HttpRequest, experiment: Experiment, name: str, title: str, content_type: str, size: int | None
) -> dict[str, Any]:
    address = reverse("api-v1:list_files", args=[experiment.code])
    url = request.build_absolute_uri(f"{address}/{quote(name, safe='')}")
    return {"name": name, "title": title, "content_type": content_type, "size": size, "url": url}


@router.get(
    "/experiments/{uuid:code}/files/{path:name}",
    operation_id="get_file",
    openapi_extra={
        "responses": {
            200: {
                "description": "The file, with its own content type.",
                "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            }
        }
    },
)
def get_file(request: HttpRequest, code: UUID, name: str) -> HttpResponseBase:
    """One file by its name."""
    page = reach(request, code)
    if name in downloads.offered_downloads(page):
        return downloads.download(request, page, name)
    kept = Artifact.objects.filter(experiment=page.experiment, name=name.replace("\0", "")).first()
    if kept is None:
        raise Http404("no such file")
    return downloads.artifact(request, page, kept.code)


@router.get(
    "/experiments/{uuid:code}/offline",
    operation_id="get_offline_copy",
    openapi_extra={
        "responses": {
            200: {
                "description": "A zip: unpack it and open index.html.",
                "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            }
        }
    },
)
def get_offline_copy(
    request: HttpRequest,
    code: UUID,
    samples: Annotated[bool, Query(description="With the texts of samples.")] = False,
) -> HttpResponseBase:
    """The experiment as one zip that opens offline, with its charts, tables and the files made from its results."""
    return offline.zip_of(reach(request, code), with_samples=samples)


# --- sampling ---------------------------------------------------------------------------------------------------------


def _sampling(request: HttpRequest, code: UUID) -> Experiment:
    experiment = reach(request, code).experiment
    if experiment.kind != "sampling":
        raise Http404("experiments of other kinds have no samples")
    return experiment


@router.get("/experiments/{uuid:code}/curve", response=CurveOut, operation_id="get_curve", tags=["sampling"])
def get_curve(
    request: HttpRequest,
    code: UUID,
    k: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_SAMPLES)]] | None,
        Query(
            max_length=MOST_POINTS, description="At these k only (repeat it); those beyond complete_to are left out."
        ),
    ] = None,
) -> dict[str, Any]:
    """Coverage over k, with its band. Empty lists until every problem has a graded sample."""
    experiment = _sampling(request, code)
    counters = load_counters([experiment])[experiment.pk]
    asked = None if k is None else sorted({each for each in k if each <= counters.reach})
    curve = counters.curve(asked)
    found = {name: getattr(curve, name).tolist() for name in ("k", "coverage", "lo", "hi")}
    return found | {"complete_to": counters.reach, "estimator": ESTIMATOR[counters.stops]}


@router.get(
    "/experiments/{uuid:code}/problems", response=Listing[ProblemOut], operation_id="list_problems", tags=["sampling"]
)
def list_problems(
    request: HttpRequest, code: UUID, order: Literal["index", "rare", "often"] = "index", cursor: Cursor = ""
) -> dict[str, Any]:
    """The problems with their counts, a hundred a page: by index, or those solved rarest or most often first."""
    experiment = _sampling(request, code)
    number = 1
    if cursor:
        used, number = cursors.decode(cursor, str, int)
        if used != order:
            raise cursors.wrong()
    rows, pages = samples.list_problems(experiment, Filters(order=order, page=number))
    if not 1 <= number <= pages:
        raise cursors.wrong()
    return {
        "items": [_problem(row) for row in rows],
        "next_cursor": cursors.encode(order, number + 1) if number < pages else None,
    }


def _problem(row: SampledProblem) -> dict[str, Any]:
    names = (
        "index", "uid", "question", "answer", "n", "c", "errors", "timeouts", "extra_n", "extra_c", "drawn", "tokens",
        "first_correct",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names}


@router.get("/experiments/{uuid:code}/samples", response=SampleListing, operation_id="list_samples", tags=["sampling"])
def list_samples(
    request: HttpRequest,
    code: UUID,
    problem: Index = None,
    verdict: Annotated[Verdict | None, Query(description="Only this verdict.")] = None,
    q: Annotated[str, Query(max_length=LONGEST_SEARCH, description="Part of the answer's text.")] = "",
    text: Annotated[bool, Query(description="With the full texts.")] = False,
    limit: Annotated[int, Query(ge=1, le=MOST_SAMPLES, description="Items on a page.")] = SAMPLES,
    cursor: Cursor = "",
) -> dict[str, Any]:
    """Samples in the order they were drawn; those of one problem by index. A search may stop before the end of a
    large experiment (``searched``); go on with the cursor."""
    experiment = _sampling(request, code)
    listed = "all" if problem is None else "one"
    after = 0
    if cursor:
        used, after = cursors.decode(cursor, str, int)
        if used != listed:
            raise cursors.wrong()
    filters = Filters(
        problem=problem, verdict=verdict.value if verdict else "", q=q.replace("\0", "").strip(), after=after
    )
    found = samples.find_samples(experiment, filters, limit=limit)
    rewards = rewards_of(experiment, [sample.pk for sample in found.samples])
    texts: dict[int, str] = {}
    if text:
        bodies = SampleText.objects.filter(pk__in=[sample.pk for sample in found.samples])
        texts = dict(bodies.values_list("pk", "text"))
    return {
        "items": [_sample(sample, texts.get(sample.pk), rewards.get(sample.pk)) for sample in found.samples],
        "next_cursor": None if found.next_after is None else cursors.encode(listed, found.next_after),
        "searched": found.searched,
    }


@router.get(
    "/experiments/{uuid:code}/samples/{int:problem}/{int:index}",
    response=SampleOut,
    operation_id="get_sample",
    tags=["sampling"],
)
def get_sample(request: HttpRequest, code: UUID, problem: int, index: int) -> dict[str, Any]:
    """One sample in full: the problem's index, then the sample's."""
    experiment = _sampling(request, code)
    if max(problem, index) > LARGEST:
        raise Http404("no such sample")
    sample = samples.get_sample(experiment, (problem, index))
    if sample is None:
        raise Http404("no such sample")
    text = sample.body.text if hasattr(sample, "body") else None
    return _sample(sample, text, rewards_of(experiment, [sample.pk]).get(sample.pk))


def _sample(sample: Sample, text: str | None, reward: float | None) -> dict[str, Any]:
    names = (
        "index", "seed", "verdict", "answer", "canonical", "reason", "tokens", "logprob", "self_certainty",
        "finish", "grade_seconds",
    )  # fmt: skip
    place = {"problem": sample.problem.index, "problem_uid": sample.problem.uid}
    return place | {name: getattr(sample, name) for name in names} | {"text": text, "reward": reward}
