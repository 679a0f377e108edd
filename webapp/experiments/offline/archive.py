"""An experiment as one zip that opens offline: index.html with its charts and tables, and the files made from results.

It is written while it is sent. A member passes through in pieces, so a million samples need no memory.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.staticfiles import finders
from django.core.serializers.json import DjangoJSONEncoder
from django.template.loader import render_to_string
from django.utils import timezone

from webapp.experiments.config import config_sections
from webapp.experiments.downloads import offered_downloads, pieces_of
from webapp.experiments.offline.content import File, Offline
from webapp.experiments.page import Page
from webapp.sharing.anonymity import Redactor, clean_pieces

PIECE = 64 * 1024  # bytes sent at a time, at least
ASSETS = {
    "assets/plotly.js": "webapp/vendor/plotly-cartesian-4.1.1.min.js",
    "assets/plotly-LICENSE.txt": "webapp/vendor/plotly-LICENSE.txt",
    "assets/tokens.css": "webapp/css/tokens.css",
    "assets/canopy.css": "webapp/css/canopy.css",
    "assets/offline.css": "webapp/offline/offline.css",
    "assets/offline.js": "webapp/offline/offline.js",
}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the zip. ``size``: of its content, as far as it is known before it is made."""

    path: str
    size: int
    stream: Callable[[], AsyncIterator[bytes]]


def offline_members(page: Page, *, with_samples: bool) -> list[Member]:
    """What the zip holds for this visitor. An anonymous link's copy is cleaned like its pages."""
    redactor = page.visit.redactor if page.visit else None
    content = page.kind.offline(page.experiment, _state(page), _data(page))
    # Of an anonymous link none: nothing can be said about what is in them.
    files = [] if redactor else [file for file in content.files if with_samples or not file.has_samples]
    content = replace(content, files=files, pages=_pages(content, files))
    data = _described(page, content, with_samples=with_samples)
    data = redactor.json(data) if redactor else data
    script = f"window.CANOPY = {json.dumps(data, cls=DjangoJSONEncoder, separators=(',', ':'))};\n"
    index = render_to_string("offline/index.html", {"title": data["name"]})
    members = [_text("index.html", index), _text("data/experiment.js", script)]
    members += [_asset(path, name) for path, name in ASSETS.items()]
    members += [Member(file.path, file.size, file.stream) for file in files]
    return members + [_made(page, name, redactor) for name in _downloads(page, with_samples)]


def unpacked_size(page: Page, *, with_samples: bool) -> int:
    """About how many bytes the copy takes when it is unpacked; nothing is made for it but what is small."""
    members = offline_members(page, with_samples=with_samples)
    return sum(member.size for member in members)


def _state(page: Page) -> Json:
    from webapp.experiments.views_live import visible_state

    return visible_state(page)


def _data(page: Page) -> Json:
    if page.frozen:
        found: Json = page.frozen["data"]
        return found
    return {name: make(page.experiment) for name, make in page.kind.data.items()}


def _described(page: Page, content: Offline, *, with_samples: bool) -> Json:
    """What data/experiment.js tells."""
    experiment = page.experiment
    sections = [
        [title, [[each.title, each.value, each.unit] for each in settings]]
        for title, settings in config_sections(experiment)
    ]
    downloads = offered_downloads(page)
    return {
        "name": experiment.name,
        "kind": experiment.kind_object.title,
        "status": experiment.get_status_display(),
        "made": timezone.localtime().isoformat(timespec="minutes"),
        "facts": content.facts,
        "figures": [asdict(figure) for figure in content.figures],
        "tables": [asdict(table) for table in content.tables],
        "pages": content.pages,
        "settings": sections,
        "files": [[name, downloads[name].title] for name in _downloads(page, with_samples)],
    }


def _pages(content: Offline, files: list[File]) -> list[tuple[str, str]]:
    """The pages that are among ``files``."""
    paths = {file.path for file in files}
    return [(title, path) for title, path in content.pages if path in paths]


def _downloads(page: Page, with_samples: bool) -> list[str]:
    offered = offered_downloads(page)
    return [name for name, item in offered.items() if (with_samples or not item.has_samples) and name != "log.txt"]


# --- members ----------------------------------------------------------------------------------------------------------


def _text(path: str, text: str) -> Member:
    content = text.encode()

    async def stream() -> AsyncIterator[bytes]:
        yield content

    return Member(path, len(content), stream)


def _asset(path: str, name: str) -> Member:
    found = finders.find(name)
    if not found:
        raise FileNotFoundError(f"the static file {name} is missing")
    content = Path(str(found)).read_bytes()

    async def stream() -> AsyncIterator[bytes]:
        yield content

    return Member(path, len(content), stream)


def _made(page: Page, name: str, redactor: Redactor | None) -> Member:
    item = offered_downloads(page)[name]

    async def stream() -> AsyncIterator[bytes]:
        pieces = pieces_of(page, name)
        async for piece in clean_pieces(pieces, item.content_type, redactor) if redactor else pieces:
            yield piece

    return Member(f"files/{name}", page.kind.size_of(page.experiment, name), stream)


# --- the zip ----------------------------------------------------------------------------------------------------------


class _Pipe(io.RawIOBase):
    """Where zipfile writes to: what it holds is taken out again and sent."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self.held.append(piece)
        self.size += len(piece)
        return len(piece)

    def take(self) -> bytes:
        found = b"".join(self.held)
        self.held, self.size = [], 0
        return found


async def zip_stream(members: list[Member], folder: str) -> AsyncIterator[bytes]:
    """The zip in pieces; everything in it lies in one folder."""
    pipe = _Pipe()
    moment = timezone.localtime().timetuple()[:6]
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for member in members:
            info = zipfile.ZipInfo(f"{folder}/{member.path}", moment)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as target:
                async for piece in member.stream():
                    await sync_to_async(target.write)(piece)
                    if pipe.size >= PIECE:
                        yield pipe.take()
    yield pipe.take()
