"""Anonymous links, for double-blind review: people, team, machines and paths are taken out of every answer.

Pages served to share links leave most of it out by themselves (webapp.experiments.visibility). This is the second wall,
and the one that is tested: it knows the strings that give an author away and takes them out of whatever is about to
leave, be it HTML, JSON, tables or Parquet, whichever page made it. What it cannot read through (other binary files)
does not leave at all.
"""

from __future__ import annotations

import html
import json
import re
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import IO, Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse

from jobs.kinds import all_kinds
from jobs.models import Experiment, Queue, Shard, ShardStatus, Status, Worker
from webapp.accounts.models import Membership, Role, Team, User
from webapp.sharing.models import ShareLink

HIDDEN = "hidden"
SHORTEST = 3  # characters: a shorter word gives nobody away, and would be found everywhere
PARQUET = "application/vnd.apache.parquet"
READABLE = frozenset({"text/csv", "text/plain", "application/json", "application/x-ndjson", PARQUET})
CHUNK = 256 * 1024
# Words of the product that a team or a machine may be called too. They stand on every page, so they tell nothing.
_VOCABULARY = {"canopy", "hidden", "worker", "team", "experiment", "localhost", "true", "false", "null", "none"}

_OWN_ADDRESS = re.compile(r"/(s|e|static|ws)/")
_SLASH = r"(?:/|\\{1,2})"  # two where a text is JSON
_PATH = re.compile(rf"(?<![\w/.:<\\])(?:~{_SLASH}|[A-Za-z]:{_SLASH}|/)(?:[\w.+@-]+{_SLASH})+[\w.+@-]*")
_BETWEEN = r"[\W_]{1,3}"  # the signs between two words of a phrase
_TAG = re.compile(r"(<[^>]*>)")
_DATA = re.compile(r'(<script[^>]* type="application/json"[^>]*>)(.*?)(</script>)', re.DOTALL)
_WORDS = re.compile(r'\b((?:title|alt|value|content|placeholder|aria-label|data-[\w-]+)=")([^"]*)"')
_EMBEDDABLE = str.maketrans({"<": "\\u003C", ">": "\\u003E", "&": "\\u0026"})  # as Django's json_script writes it


class Redactor:
    """Takes strings out of texts. A text with several words ("Ada Marsh") is found whatever its case and the signs
    between its words, also inside of names such as ada-marsh.local; so is anything that holds a digit or a sign, such
    as an address. A single word is found as it is written, and in small letters where it is part of a name; "Will"
    therefore leaves "it will" alone."""

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns: dict[str, None] = {}
        for secret in sorted({each.strip() for each in secrets}, key=len, reverse=True):
            for pattern in _patterns(secret):
                patterns[pattern] = None
        self._found = re.compile("|".join(patterns)) if patterns else None

    def text(self, text: str) -> str:
        """A plain text without them, and without absolute paths."""
        if "/" in text or "\\" in text:
            text = _PATH.sub(_path, text)
        return self._found.sub(HIDDEN, text) if self._found else text

    def json(self, value: Any) -> Any:
        """The value with its texts cleaned. Keys stay, for the product's own are no names; those that data brings
        are cleaned where they hold what no key of ours does."""
        if isinstance(value, str):
            return value if _OWN_ADDRESS.match(value) else self.text(value)
        if isinstance(value, list | tuple):
            return [self.json(each) for each in value]
        if isinstance(value, dict):
            return {_key(key, self.text): self.json(each) for key, each in value.items()}
        return value

    def html(self, markup: str) -> str:
        """Markup that Django escaped, with cleaned texts, data and readable attributes; tags and addresses stay."""
        parts = _DATA.split(markup)
        for i in range(2, len(parts), 4):
            parts[i] = json.dumps(self.json(json.loads(parts[i]))).translate(_EMBEDDABLE)
        for i in (i for i in range(0, len(parts), 4)):
            pieces = _TAG.split(parts[i])
            pieces = [self._tag(piece) if i % 2 else self._escaped(piece) for i, piece in enumerate(pieces)]
            parts[i] = "".join(pieces)
        return "".join(parts)

    def _tag(self, tag: str) -> str:
        return _WORDS.sub(lambda found: f'{found[1]}{self._attribute(found[2])}"', tag)

    def _attribute(self, value: str) -> str:
        return value if _OWN_ADDRESS.match(value) else self._escaped(value)

    def _escaped(self, text: str) -> str:
        plain = html.unescape(text)
        clean = self.text(plain)
        return text if clean == plain else html.escape(clean)


def _key(key: Any, clean: Callable[[str], str]) -> Any:
    return clean(key) if isinstance(key, str) and not re.fullmatch(r"[a-z][a-z0-9_]*", key) else key


def _patterns(secret: str) -> Iterator[str]:
    words = re.findall(r"[^\W_]+", secret)
    if len(secret) < SHORTEST or not words or secret.casefold() in _vocabulary():
        return
    edges = (r"(?<![^\W_])", r"(?![^\W_])")
    if len(words) > 1:
        phrase = _BETWEEN.join(map(re.escape, words))
        yield rf"(?i:{edges[0]}{phrase}{edges[1]})"
        return
    word = words[0]
    if not word.isalpha():
        yield rf"(?i:{edges[0]}{re.escape(word)}{edges[1]})"
        return
    yield rf"{edges[0]}{re.escape(word)}{edges[1]}"
    if not word.islower():
        small = re.escape(word.lower())
        yield rf"(?<=[-_.@/\\]){small}{edges[1]}|{edges[0]}{small}(?=[-_.@/\\][^\W_])"


def _vocabulary() -> set[str]:
    """Lower case; every value that the product itself writes into its JSON."""
    values = [*Status.values, *ShardStatus.values, *Queue.values, *Role.values, *(kind.name for kind in all_kinds())]
    return _VOCABULARY | {str(value).casefold() for value in values}


def _path(found: re.Match[str]) -> str:
    return found[0] if _OWN_ADDRESS.match(found[0]) else HIDDEN


# --- what there is to hide --------------------------------------------------------------------------------------------


def redactor_of(link: ShareLink) -> Redactor:
    """All that gives the authors of a link's content away. Read anew for each request: people come and go."""
    from webapp.sharing.targets import target_of

    target = target_of(link)
    experiments = target.experiments(link) if target else []
    return Redactor([*_people(link.team, experiments), *_places(experiments), *_of_specs(experiments)])


def _people(team: Team, experiments: Iterable[Experiment]) -> Iterator[str]:
    yield team.name
    owners = [experiment.owner_id for experiment in experiments if experiment.owner_id is not None]
    makers = ShareLink.objects.filter(team=team).values("created_by")
    ours = Membership.objects.filter(team=team).values("user")
    people = User.objects.filter(pk__in=ours) | User.objects.filter(pk__in=makers) | User.objects.filter(pk__in=owners)
    for name, email in people.distinct().values_list("name", "email"):
        parts = name.split()
        before, _, domain = email.partition("@")
        yield from (name, *parts, email, domain)
        if before.casefold() not in {part.casefold() for part in parts}:  # "will" alone is in every other text
            yield before


def _places(experiments: Iterable[Experiment]) -> Iterator[str]:
    for name, host in Worker.objects.values_list("name", "host"):
        yield from (name, host, host.split(".")[0], host.partition(".")[2])
    shards = Shard.objects.filter(experiment__in=[experiment.pk for experiment in experiments]).exclude(worker="")
    yield from shards.order_by().values_list("worker", flat=True).distinct()
    for endpoint in settings.ENDPOINTS.values():
        yield endpoint.name
        yield urlsplit(endpoint.url).hostname or ""
    for folder in (settings.DATA_DIR, *settings.MODEL_DIRS, *settings.DETECTION_DIRS):
        yield str(folder)


def _of_specs(experiments: Iterable[Experiment]) -> Iterator[str]:
    """Paths and the names of uploaded files in the settings of experiments."""
    for experiment in experiments:
        for text in _texts(experiment.spec):
            if text.startswith(("/", "~", "./", "../")) or re.match(r"[A-Za-z]:\\", text):
                yield text
        imported = experiment.spec.get("imported")
        if isinstance(imported, dict) and (name := str(imported.get("file", ""))):
            yield from (name, PurePosixPath(PureWindowsPath(name).name).stem)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


# --- answers ----------------------------------------------------------------------------------------------------------


def hide(response: HttpResponseBase, redactor: Redactor | None) -> HttpResponseBase:
    """The answer as an anonymous link gives it. Http404 for a file that nothing can be taken out of."""
    if redactor is None or response.status_code == 304 or getattr(response, "is_clean", False):
        return response
    if name := response.headers.get("Content-Disposition"):
        response.headers["Content-Disposition"] = redactor.text(name)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = _hide_stream(response, kind, redactor)
        response.headers.pop("Content-Length", None)
    elif isinstance(response, HttpResponse) and not kind.startswith("image/"):
        response.content = _hide_all(response.content.decode(), kind, redactor)
    return response


def _hide_all(text: str, kind: str, redactor: Redactor) -> str:
    if kind == "text/html":
        return redactor.html(text)
    if kind == "application/json":
        return json.dumps(redactor.json(json.loads(text)), cls=DjangoJSONEncoder, ensure_ascii=False)
    if kind in {"text/csv", "text/plain", "application/x-ndjson"}:
        return "".join(_line(line, kind, redactor) for line in text.splitlines(keepends=True))
    raise Http404("no anonymous copy can be made of this file")


def _line(line: str, kind: str, redactor: Redactor) -> str:
    if kind == "application/x-ndjson" and line.strip():
        return json.dumps(redactor.json(json.loads(line)), ensure_ascii=False) + "\n"
    return redactor.text(line)


def _hide_stream(response: StreamingHttpResponse, kind: str, redactor: Redactor) -> AsyncIterator[bytes]:
    pieces = response.streaming_content
    if not isinstance(pieces, AsyncIterable):
        raise Http404("no anonymous copy can be made of this file")
    return clean_pieces(pieces, kind, redactor)


def clean_pieces(pieces: AsyncIterable[bytes], content_type: str, redactor: Redactor) -> AsyncIterator[bytes]:
    """A file's content with everything taken out of it. Http404 for one that cannot be read through."""
    kind = content_type.partition(";")[0].strip()
    if kind in {"text/html", "application/json"}:  # one document, as large as its figures
        return _whole(pieces, kind, redactor)
    if kind in {"text/csv", "text/plain", "application/x-ndjson"}:
        return _lines(pieces, kind, redactor)
    if kind == PARQUET:
        return _parquet(pieces, redactor)
    raise Http404("no anonymous copy can be made of this file")


async def _whole(pieces: AsyncIterable[bytes], kind: str, redactor: Redactor) -> AsyncIterator[bytes]:
    text = b"".join([piece async for piece in pieces]).decode()
    yield (await sync_to_async(_hide_all)(text, kind, redactor)).encode()


async def _lines(pieces: AsyncIterable[bytes], kind: str, redactor: Redactor) -> AsyncIterator[bytes]:
    """A line at a time, so that nothing hides across the edge of two pieces."""
    rest = b""
    async for piece in pieces:
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        yield "".join(_line(line.decode() + "\n", kind, redactor) for line in lines).encode()
    if rest:
        yield _line(rest.decode(), kind, redactor).encode()


async def _parquet(pieces: AsyncIterable[bytes], redactor: Redactor) -> AsyncIterator[bytes]:
    """A new file, a row group at a time; it keeps none of the old one's metadata."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as clean:
        async for piece in pieces:
            await sync_to_async(source.write)(piece)
        await sync_to_async(rewrite_parquet)(source, clean, redactor)
        clean.seek(0)
        while piece := await sync_to_async(clean.read)(CHUNK):
            yield piece


def rewrite_parquet(source: IO[bytes], target: IO[bytes], redactor: Redactor) -> None:
    """Copy a Parquet file with cleaned texts. Columns of bytes are left out: nothing can be said about them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source.seek(0)
    file = pq.ParquetFile(source)
    kept = [field.remove_metadata() for field in file.schema_arrow if not _is_bytes(field.type)]
    schema = pa.schema(kept)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in file.iter_batches(columns=[field.name for field in kept], batch_size=5_000):
            columns = [
                pa.array([redactor.json(value) for value in column.to_pylist()], type=field.type)
                if pa.types.is_string(field.type)
                or pa.types.is_large_string(field.type)
                or pa.types.is_nested(field.type)
                else column
                for column, field in zip(batch.columns, kept, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
