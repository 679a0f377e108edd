"""The client: one method for each thing the API can do, with typed answers.

Reads, and submits (they carry an idempotency key), are tried again after a network failure, a 429 or a 5xx; what
changes something without a key is not.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2

from webapp.client.types import (
    Answer,
    Curve,
    DataSet,
    Experiment,
    ExtraDraw,
    File,
    Kind,
    LabelQuality,
    LiveState,
    Loss,
    Me,
    NewShareLink,
    Problem,
    ProblemSet,
    Run,
    Sample,
    Scene,
    SceneScore,
    SceneSet,
    Score,
    ShareLink,
    Team,
    TrainedStage,
    TriedPicture,
    Worker,
)

ATTEMPTS = 4
LONGEST_WAIT_S = 60.0
SILENCE_S = 60.0  # the server sends a comment every 15 s: a stream silent for longer is dead
A = TypeVar("A", bound=Answer)


class ApiError(Exception):
    """The server refused: its status, its sentence, and what is wrong by field."""

    def __init__(self, status: int, detail: str, errors: Mapping[str, str]) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = dict(errors)


class Unreachable(Exception):
    """No answer that Canopy could have given came from the address."""


class Client:
    """``server``: the address of the site, such as https://canopy.example.org. Use it as a context manager, or close
    it. Every method raises ApiError for a refusal and Unreachable when no server answers."""

    def __init__(
        self,
        server: str,
        token: str,
        *,
        timeout: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx2.Client(
            base_url=f"{server.rstrip('/')}/api/v1/",
            headers={"Authorization": f"Bearer {token}", "User-Agent": "canopy-client/1"},
            timeout=timeout,
            transport=transport,
        )
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # --- who, where, what ---------------------------------------------------------------------------------------------

    def me(self) -> Me:
        return Me.model_validate(self._read("me"))

    def teams(self) -> list[Team]:
        return list(self._every("teams", Team))

    def kinds(self) -> list[Kind]:
        return list(self._every("kinds", Kind))

    def workers(self, team: str) -> list[Worker]:
        return list(self._every(f"teams/{team}/workers", Worker))

    def problem_sets(self, team: str) -> list[ProblemSet]:
        return list(self._every(f"teams/{team}/problem-sets", ProblemSet))

    def add_problem_set(self, team: str, name: str, problems: list[dict[str, Any]]) -> ProblemSet:
        """``problems``: [{"id", "question", "answer"}, ...]; ids may be left out."""
        body = {"name": name, "problems": problems}
        return ProblemSet.model_validate(self._write("POST", f"teams/{team}/problem-sets", body))

    # --- data sets of detection ---------------------------------------------------------------------------------------

    def data_sets(self, team: str) -> list[DataSet]:
        return list(self._every(f"teams/{team}/data-sets", DataSet))

    def data_set(self, code: str) -> DataSet:
        return DataSet.model_validate(self._read(f"data-sets/{code}"))

    def upload_data_set(self, team: str, file: Path, *, name: str = "", format: str = "") -> DataSet:
        """Send a zip. A worker reads it: ``data_set`` tells when its state is no longer "reading"."""
        with file.open("rb") as content:
            fields = {"name": name, "format": format}
            files = {"file": (file.name, content)}
            answer = self._send("POST", f"teams/{team}/data-sets", timeout=None, files=files, data=fields)
        return DataSet.model_validate(answer.json())

    def add_data_set_folder(self, team: str, path: str, *, name: str = "", format: str = "") -> DataSet:
        body = {"path": path, "name": name, "format": format}
        return DataSet.model_validate(self._write("POST", f"teams/{team}/data-sets/folders", body))

    def delete_data_set(self, code: str) -> None:
        self._send("DELETE", f"data-sets/{code}")

    # --- sets of posed pictures, for scenes ---------------------------------------------------------------------------

    def scene_sets(self, team: str) -> list[SceneSet]:
        return list(self._every(f"teams/{team}/scene-sets", SceneSet))

    def scene_set(self, code: str) -> SceneSet:
        return SceneSet.model_validate(self._read(f"scene-sets/{code}"))

    def upload_scene_set(self, team: str, file: Path, *, name: str = "") -> SceneSet:
        """Send a zip. A worker reads it: ``scene_set`` tells when its state is no longer "reading"."""
        with file.open("rb") as content:
            how: dict[str, Any] = {"files": {"file": (file.name, content)}, "data": {"name": name}}
            answer = self._send("POST", f"teams/{team}/scene-sets", timeout=None, **how)
        return SceneSet.model_validate(answer.json())

    def add_scene_set_folder(self, team: str, path: str, *, name: str = "") -> SceneSet:
        body = {"path": path, "name": name}
        return SceneSet.model_validate(self._write("POST", f"teams/{team}/scene-sets/folders", body))

    def delete_scene_set(self, code: str) -> None:
        self._send("DELETE", f"scene-sets/{code}")

    # --- experiments --------------------------------------------------------------------------------------------------

    def experiments(self, team: str, **query: Any) -> Iterator[Experiment]:
        """All that match, a page at a time. ``query``: kind, status, owner, q, sort, limit (of a page)."""
        return self._every(f"teams/{team}/experiments", Experiment, **query)

    def experiment(self, code: str) -> Experiment:
        return Experiment.model_validate(self._read(f"experiments/{code}"))

    def submit(
        self,
        team: str,
        kind: str,
        spec: Mapping[str, Any],
        *,
        name: str = "",
        priority: str = "normal",
        idempotency_key: str | None = None,
    ) -> Experiment:
        """Submit an experiment, once: a repetition after a lost answer gives the same one."""
        body = {"kind": kind, "name": name, "spec": dict(spec), "priority": priority}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        answer = self._send("POST", f"teams/{team}/experiments", attempts=ATTEMPTS, json=body, headers=headers)
        return Experiment.model_validate(answer.json())

    def change(self, code: str, *, name: str | None = None, priority: str | None = None) -> Experiment:
        body = {key: value for key, value in {"name": name, "priority": priority}.items() if value is not None}
        return Experiment.model_validate(self._write("PATCH", f"experiments/{code}", body))

    def cancel(self, code: str) -> Experiment:
        return self._act(code, "cancel")

    def retry(self, code: str) -> Experiment:
        return self._act(code, "retry")

    def draw_more(self, code: str, samples: int) -> Experiment:
        return self._act(code, "more", {"samples": samples})

    def preview_extra_draw(self, code: str, spend: float, unit: str = "samples") -> ExtraDraw:
        """What drawing more where it helps would do. ``unit``: samples, dollars or gpu-hours."""
        return ExtraDraw.model_validate(self._read(f"experiments/{code}/extra-draw", spend=spend, unit=unit))

    def draw_where_it_helps(
        self, code: str, spend: float, unit: str = "samples", *, number: int | None = None
    ) -> Experiment:
        """``number``: the preview's; with it the same request sent twice draws once."""
        return self._act(code, "extra-draw", {"spend": spend, "unit": unit, "number": number})

    def regrade(self, code: str, verifier: str) -> Experiment:
        return self._act(code, "regrade", {"verifier": verifier})

    def score(self, code: str, scorer: str, label: int | None = None) -> Experiment:
        """Score every sample with the reward model ``scorer``; ``label``: which of several outputs."""
        return self._act(code, "score", {"scorer": scorer, "label": label})

    def delete(self, code: str) -> None:
        self._send("DELETE", f"experiments/{code}")

    def _act(self, code: str, action: str, body: Mapping[str, Any] | None = None) -> Experiment:
        return Experiment.model_validate(self._write("POST", f"experiments/{code}/{action}", body))

    # --- share links --------------------------------------------------------------------------------------------------

    def share_links(self, team: str, **query: Any) -> Iterator[ShareLink]:
        """All that match, a page at a time. ``query``: state, target, mine, q, limit (of a page)."""
        return self._every(f"teams/{team}/share-links", ShareLink, **query)

    def share_link(self, code: str) -> ShareLink:
        return ShareLink.model_validate(self._read(f"share-links/{code}"))

    def share(self, team: str, target: str, scope: Mapping[str, Any], **options: Any) -> NewShareLink:
        """Make a link; its ``url`` is in this answer alone. ``options``: label, days (None: until revoked),
        include_samples, anonymous, freeze, embed_hosts."""
        body = {"target": target, "scope": dict(scope), **options}
        return NewShareLink.model_validate(self._write("POST", f"teams/{team}/share-links", body))

    def pause_share_link(self, code: str) -> ShareLink:
        return ShareLink.model_validate(self._write("POST", f"share-links/{code}/pause", None))

    def resume_share_link(self, code: str) -> ShareLink:
        return ShareLink.model_validate(self._write("POST", f"share-links/{code}/resume", None))

    def revoke_share_link(self, code: str) -> ShareLink:
        return ShareLink.model_validate(self._write("POST", f"share-links/{code}/revoke", None))

    def revoke_share_links(self, team: str, codes: Sequence[str]) -> list[str]:
        """The codes of those that ended."""
        found: list[str] = self._write("POST", f"teams/{team}/share-links/revoke", {"codes": list(codes)})["revoked"]
        return found

    # --- results ------------------------------------------------------------------------------------------------------

    def curve(self, code: str, k: Sequence[int] | None = None) -> Curve:
        """At these ``k``, as far as the curve reaches; by default at k spaced evenly on a logarithmic axis."""
        return Curve.model_validate(self._read(f"experiments/{code}/curve", k=list(k) if k else None))

    def problems(self, code: str, **query: Any) -> Iterator[Problem]:
        return self._every(f"experiments/{code}/problems", Problem, **query)

    def samples(self, code: str, **query: Any) -> Iterator[Sample]:
        """All that match, a page at a time. ``query``: problem, verdict, q, text, limit (of a page)."""
        return self._every(f"experiments/{code}/samples", Sample, **query)

    def runs(self, code: str) -> list[Run]:
        return list(self._every(f"experiments/{code}/runs", Run))

    def scores(self, code: str) -> list[Score]:
        return list(self._every(f"experiments/{code}/scores", Score))

    def score_details(self, code: str, run: int, angle: float) -> dict[str, Any]:
        """Of one run at one angle: APs by class and size, curves, confusion."""
        found: dict[str, Any] = self._read(f"experiments/{code}/runs/{run}/score", angle=angle)
        return found

    def label_quality(self, code: str) -> list[LabelQuality]:
        return list(self._every(f"experiments/{code}/label-quality", LabelQuality))

    def try_picture(self, code: str, file: Path) -> TriedPicture:
        """Have every detector look at a picture; ``tried_pictures`` tells what they found."""
        with file.open("rb") as content:
            answer = self._send("POST", f"experiments/{code}/pictures", files={"file": (file.name, content)})
        return TriedPicture.model_validate(answer.json())

    def tried_pictures(self, code: str) -> list[TriedPicture]:
        return list(self._every(f"experiments/{code}/pictures", TriedPicture))

    def stages(self, code: str) -> list[TrainedStage]:
        return list(self._every(f"experiments/{code}/stages", TrainedStage))

    def losses(self, code: str) -> list[Loss]:
        return list(self._every(f"experiments/{code}/losses", Loss))

    def scenes(self, code: str) -> list[Scene]:
        return list(self._every(f"experiments/{code}/scenes", Scene))

    def scene(self, code: str, number: int) -> Scene:
        return Scene.model_validate(self._read(f"experiments/{code}/scenes/{number}"))

    def draw_scene(self, code: str, *, map: Path | None = None, image: Path | None = None, **request: Any) -> Scene:
        """Ask for a scene; ``scene`` tells when its state is "drawn". ``request``: operation, seed, parent, other, box,
        strength, groups, seam, and g, c, f: {"sampler", "steps", "guidance"}. ``map`` and ``image``: pictures."""
        body = _plain(request)
        for name, file in (("map", map), ("image", image)):
            if file is not None:
                body[name] = base64.b64encode(file.read_bytes()).decode()
        return Scene.model_validate(self._write("POST", f"experiments/{code}/scenes", body))

    def scene_scores(self, code: str) -> list[SceneScore]:
        return list(self._every(f"experiments/{code}/scene-scores", SceneScore))

    def live(self, code: str, after: int = 0) -> LiveState:
        return LiveState.model_validate(self._read(f"experiments/{code}/live", after=after))

    def files(self, code: str) -> list[File]:
        return list(self._every(f"experiments/{code}/files", File))

    def download(self, code: str, name: str, to: Path) -> int:
        """Write the file to ``to`` and return its bytes. A file that breaks off leaves nothing there."""
        return self._download(f"experiments/{code}/files/{quote(name, safe='')}", name, to)

    def download_offline_copy(self, code: str, to: Path, *, samples: bool = False) -> int:
        """Write the zip that opens offline to ``to`` and return its bytes."""
        return self._download(f"experiments/{code}/offline", to.name, to, params={"samples": samples})

    def _download(self, path: str, name: str, to: Path, **how: Any) -> int:
        part = to.with_name(f"{to.name}.part")
        try:
            with self._stream(path, **how) as answer, part.open("wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
            part.replace(to)
        except httpx2.TransportError as error:
            raise Unreachable(f"{name} broke off: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return to.stat().st_size

    def watch(self, code: str, after: int = 0) -> Iterator[LiveState]:
        """States as they happen, until the experiment ends. A stream that breaks goes on where it was."""
        failures = 0
        while True:
            try:
                for state in self._events(code, after):
                    failures, after = 0, state.seq
                    yield state
                    if state.has_ended:
                        return
                # The server ended the stream: it restarted, or the token no longer works, which the next try tells.
            except (httpx2.TransportError, Unreachable) as error:
                failures += 1
                if failures >= ATTEMPTS:
                    raise Unreachable(f"The live stream broke {failures} times: {error}") from error
            self._sleep(2.0**failures)

    def _events(self, code: str, after: int) -> Iterator[LiveState]:
        with self._stream(f"experiments/{code}/events", params={"after": after}, timeout=SILENCE_S) as answer:
            name = ""
            for line in answer.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data" and name == "state":
                    yield LiveState.model_validate(json.loads(value))

    # --- requests -----------------------------------------------------------------------------------------------------

    def _read(self, path: str, **query: Any) -> Any:
        return self._send("GET", path, attempts=ATTEMPTS, params=_plain(query)).json()

    def _write(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        return self._send(method, path, json=body).json() if body is not None else self._send(method, path).json()

    def _every(self, path: str, answer: type[A], **query: Any) -> Iterator[A]:
        while True:
            page = self._read(path, **query)
            for item in page["items"]:
                yield answer.model_validate(item)
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    def _stream(self, path: str, **how: Any) -> _Stream:
        return _Stream(self._http, path, how)

    def _send(self, method: str, path: str, *, attempts: int = 1, **how: Any) -> httpx2.Response:
        for attempt in range(1, attempts + 1):
            try:
                answer = self._http.request(method, path, **how)
            except httpx2.TransportError as error:
                if attempt == attempts:
                    raise Unreachable(f"{self._http.base_url.host} does not answer: {error}") from error
                self._sleep(2.0 ** (attempt - 1))
                continue
            if attempt < attempts and (answer.status_code == 429 or answer.status_code >= 500):
                self._sleep(_pause(answer, attempt))
                continue
            _raise_for(answer)
            return answer
        raise AssertionError("unreachable: the last attempt returns or raises")


class _Stream:
    """A streamed answer as a context manager that raises like the other methods."""

    def __init__(self, http: httpx2.Client, path: str, how: Mapping[str, Any]) -> None:
        self._context = http.stream("GET", path, **how)

    def __enter__(self) -> httpx2.Response:
        answer = self._context.__enter__()
        if answer.status_code != 200:
            answer.read()
            self._context.__exit__(None, None, None)
            _raise_for(answer)
        return answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)


def _plain(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _pause(answer: httpx2.Response, attempt: int) -> float:
    told = answer.headers.get("Retry-After", "")
    return min(LONGEST_WAIT_S, float(told) if told.isdigit() else 2.0 ** (attempt - 1))


def _raise_for(answer: httpx2.Response) -> None:
    if answer.is_success:
        return
    try:
        body = answer.json()
        errors = {error["field"]: error["message"] for error in body["errors"]}
        raise ApiError(answer.status_code, body["detail"], errors)
    except (ValueError, KeyError, TypeError):
        raise Unreachable(
            f"{answer.request.url.host} answered {answer.status_code} and is no Canopy, or not one of this version. "
            "Check the address."
        ) from None
