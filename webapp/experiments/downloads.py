"""Files of an experiment. Every one is checked, sent as an attachment and never sniffed: names and contents come from
models and uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.files import File
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from jobs.models import Artifact, Experiment, LogLine
from webapp.experiments.kind_pages import Download, KindPage, kind_page
from webapp.experiments.page import Page
from webapp.sharing.anonymity import READABLE

CHUNK = 256 * 1024  # bytes of a file sent at a time
LINES = 1_000  # log lines read at a time
PICTURE_SECONDS = 3600  # a picture does not change under its address


async def log_lines(experiment: Experiment) -> AsyncIterator[str]:
    """The whole log as text: time, level, line."""
    after = 0
    while rows := await sync_to_async(_lines_after)(experiment, after):
        after = rows[-1].pk
        yield "".join(f"{line.at.isoformat(timespec='seconds')} {line.level:7} {line.text}\n" for line in rows)


def _lines_after(experiment: Experiment, after: int) -> list[LogLine]:
    return list(experiment.log_lines.filter(pk__gt=after).order_by("pk")[:LINES])


LOG_FILE = Download("Every line the workers wrote", "text/plain; charset=utf-8", log_lines)


def offered_downloads(page: Page) -> dict[str, Download]:
    """Names and downloads that this visitor may have."""
    own = {name: item for name, item in page.kind.downloads.items() if page.shows_samples or not item.has_samples}
    if page.only:
        own = {name: item for name, item in own.items() if name in page.only.downloads}
    if page.frozen:
        own = {name: item for name, item in own.items() if name in page.frozen["files"]}
    return own if page.is_shared else own | {"log.txt": LOG_FILE}


def listed_files(page: Page) -> dict[str, Any]:
    """What the Files tab lists."""
    made = [
        {"name": name, "title": item.title, "url": page.url("download", name=name)}
        for name, item in offered_downloads(page).items()
    ]
    found = [each for each in page.experiment.artifacts.order_by("name") if _is_offered(page, each)]
    kept = [
        {
            "name": each.name,
            "content_type": each.content_type,
            "size": each.size,
            "url": page.url("artifact", artifact=each.code),
        }
        for each in found
    ]
    return {
        "downloads": made,
        "artifacts": kept,
        "offline_url": page.url("offline"),
        "offline_size_url": page.url("offline-size"),
        "offline_samples": any(item.has_samples for item in offered_downloads(page).values()),
    }


@require_safe
def download(request: HttpRequest, page: Page, name: str) -> HttpResponseBase:
    """A file made from rows while it is sent."""
    offered = offered_downloads(page)
    if name not in offered:
        raise Http404("No such download.")
    stem = slugify(page.experiment.name)[:60] or "experiment"
    return attachment(pieces_of(page, name), offered[name].content_type, f"{stem}-{name}")


async def pieces_of(page: Page, name: str) -> AsyncIterator[bytes]:
    """The content of an offered download: as a frozen link kept it, else as it is now."""
    if page.frozen:
        yield str(page.frozen["files"][name]).encode()
        return
    async for piece in offered_downloads(page)[name].stream(page.experiment):
        yield piece.encode()


def _is_offered(page: Page, artifact: Artifact) -> bool:
    """Share links without sample texts give no artifact, for it may hold them; anonymous ones only what can be read
    through and cleaned, or what names nobody."""
    if not page.shows_samples:
        return False
    return not page.is_anonymous or names_nobody(artifact, page.kind)


def names_nobody(artifact: Artifact, kind: KindPage) -> bool:
    """Whether an anonymous link may give the file: it can be read through and cleaned, or holds numbers alone."""
    return artifact.content_type in READABLE or artifact.name.endswith(kind.nameless)


@require_safe
def artifact(request: HttpRequest, page: Page, artifact: UUID) -> HttpResponseBase:
    """A file the experiment made."""
    found = get_object_or_404(page.experiment.artifacts, code=artifact)
    if not _is_offered(page, found):
        raise Http404("No such file.")
    return send_artifact(found)


def send_artifact(found: Artifact) -> HttpResponseBase:
    """A file that the visitor may have, in pieces."""
    try:
        content = found.file.open("rb")
    except FileNotFoundError as error:
        raise Http404("The file is no longer in the storage.") from error
    response = attachment(file_pieces(content), found.content_type, found.name)
    response.is_clean = found.name.endswith(kind_page(found.experiment.kind).nameless)  # type: ignore[attr-defined]  # webapp.sharing.anonymity
    response.headers["Content-Length"] = str(found.file.size)
    return response


@require_safe
def picture(request: HttpRequest, page: Page, part: str, key: str) -> HttpResponseBase:
    """A picture of the kind. Pictures are samples: share links without samples give none."""
    find = page.kind.pictures.get(part) if page.shows_samples else None
    return send_picture(find(page.experiment, key) if find else None)


def send_picture(found: bytes | None) -> HttpResponseBase:
    """A JPEG. Raises Http404 where there is none."""
    if found is None:
        raise Http404("No such picture.")
    response = HttpResponse(found, content_type="image/jpeg")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = f"private, max-age={PICTURE_SECONDS}"
    return response


async def file_pieces(content: File[bytes]) -> AsyncIterator[bytes]:
    """The file in pieces. Under ASGI Django would first read a plain (synchronous) iterator to its end."""
    try:
        while piece := await sync_to_async(content.read)(CHUNK):
            yield piece
    finally:
        await sync_to_async(content.close)()


def attachment(stream: AsyncIterator[bytes], content_type: str, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(stream, content_type=content_type)
    response.headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    # Django's GZipMiddleware would pack each piece of an asynchronous stream as a gzip file of its own, and browsers
    # read only the first of them.
    response.headers["Content-Encoding"] = "identity"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    return response
