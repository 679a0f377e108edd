"""Anonymous links: every answer that can be reached is searched for every string that would give the authors away."""

from __future__ import annotations

import asyncio
import html
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from channels.layers import get_channel_layer
from django.core.files.base import ContentFile
from hypothesis import given
from hypothesis import strategies as st

from jobs.announcer import group_name
from jobs.kinds.sampling.models import Problem, Sample, SampleText
from jobs.live import live_state
from jobs.models import Artifact, Experiment, LogLine, Shard, Status, Worker
from tests.webapp.sharing.conftest import Link, get
from tests.webapp.test_consumers import socket
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User
from webapp.sharing.anonymity import HIDDEN, Redactor

# Planted below; searched for as they are, whatever the case.
SECRETS = (
    "Ada Quillfeather", "Quillfeather", "ada.q@birdlab.example", "birdlab.example", "Birdsong Collective",
    "birdsong-collective", "gpu-07", "worker-a1", "/home/", "/scratch/", "adaq", "finches_final", "Bo Tanager",
)  # fmt: skip
LEAK = (
    "Traceback in /home/adaq/run.py on gpu-07.birdlab.example, ask Ada Quillfeather <ada.q@birdlab.example> of the "
    "Birdsong Collective, or BO TANAGER; see ~/adaq/notes and C:\\Users\\adaq\\x.txt"
)


@pytest.fixture
def experiment(team: Team, alice: User, bob: User, make_experiment: Callable[..., Experiment]) -> Experiment:
    User.objects.filter(pk=alice.pk).update(name="Ada Quillfeather", email="ada.q@birdlab.example")
    User.objects.filter(pk=bob.pk).update(name="Bo Tanager")
    Team.objects.filter(pk=team.pk).update(name="Birdsong Collective")
    made = make_experiment(name="Ada Quillfeather: finches", status=Status.FAILED, n=4, c=1, reason=LEAK)
    spec = made.spec | {
        "model": "/scratch/adaq/secret-llama",
        "imported": {"file": "finches_final.jsonl", "sha256": "0"},
    }
    Experiment.objects.filter(pk=made.pk).update(spec=spec | {"notes": LEAK}, last_seq=5)
    Problem.objects.filter(experiment=made).update(question=f"2 + 2? {LEAK}", uid="birdsong-collective-1")
    Problem.objects.filter(experiment=made, index=0).update(uid="p0", answer="0")
    for sample in draw(made, 4):
        Sample.objects.filter(pk=sample.pk).update(reason=LEAK, answer="of Quillfeather", canonical="gpu-07")
    SampleText.objects.filter(sample__experiment=made).update(text=f"The answer is 4. {LEAK}")
    Worker.objects.create(name="worker-a1", queue="gpu", host="gpu-07.birdlab.example", device="CPU", pid=1)
    Shard.objects.create(
        experiment=made, stage="generate", stage_index=0, index=0, queue="gpu", status="failed", worker="worker-a1",
        reason=LEAK, log_tail=LEAK, seq=2,
    )  # fmt: skip
    LogLine.objects.create(experiment=made, seq=3, text=LEAK)
    table = pa.table({"text": [LEAK, None], "n": [1, 2], "raw": [LEAK.encode(), b""]}, metadata={"by": LEAK})
    _artifact(made, "samples.parquet", "application/vnd.apache.parquet", _parquet(table))
    _artifact(made, "table.csv", "text/csv", f"who,n\n{LEAK},1\n".encode())
    _artifact(made, "birdsong-collective.onnx", "application/octet-stream", LEAK.encode())
    return Experiment.objects.get(pk=made.pk)


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _artifact(experiment: Experiment, name: str, content_type: str, content: bytes) -> None:
    file = ContentFile(content, name)
    Artifact.objects.create(
        experiment=experiment, name=name, content_type=content_type, size=len(content), file=file, seq=4
    )


def crawl(start: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Every answer that can be reached from ``start`` by addresses below /s/ in what was answered."""
    token = start.split("/")[2]
    queue = [start, f"/e/{token}", f"/s/{token}/live.json"]
    queue += [f"/s/{token}/offline.zip?samples=1", f"/s/{token}/offline.json"]
    queue += [f"/s/{token}/data/{part}.json" for part in ("forecast", "selection")]
    seen: set[str] = set()
    while queue:
        path = queue.pop()
        if path in seen or len(seen) > 150:
            continue
        seen.add(path)
        status, body, headers = get(path)
        if status != 200:
            continue
        yield path, body, headers
        if headers["Content-Type"].startswith(("text/html", "application/json")):
            text = html.unescape(body.decode())
            queue += re.findall(rf'"((?:/s/{token}/|\?)[^"#<>{{}}]*)', text)
            queue[:] = [path.partition("?")[0] + each if each.startswith("?") else each for each in queue]


def readable(body: bytes, headers: dict[str, str]) -> str:
    """What a reader can make of an answer, its headers included."""
    kind = headers["Content-Type"]
    if "parquet" in kind:
        table = pq.read_table(io.BytesIO(body))
        assert table.num_rows == 2 and table.column("n").to_pylist() == [1, 2]
        text = f"{table.to_pydict()} {table.schema.metadata} {table.column_names} {body.decode('latin-1')}"
    elif "zip" in kind:
        archive = zipfile.ZipFile(io.BytesIO(body))
        own = [name for name in archive.namelist() if "/assets/" not in name]
        assert len(own) > 5 and archive.testzip() is None
        text = "\n".join([*archive.namelist(), *(archive.read(name).decode() for name in own)])
    else:
        text = body.decode()
    return "\n".join([text, html.unescape(text), text.encode().decode("unicode_escape", "replace"), str(headers)])


def search(path: str, text: str) -> None:
    found = [secret for secret in SECRETS if secret.casefold() in text.casefold()]
    assert not found, (path, found)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", [{}, {"freeze": True}])
def test_nothing_that_is_reached_names_the_authors(experiment: Experiment, link: Link, how: dict[str, Any]) -> None:
    hosts = ["lab.example.org"]
    scope = {"experiment": str(experiment.code)}
    _, token = link("experiment", scope, label="for Ada Quillfeather", anonymous=True, embed_hosts=hosts, **how)
    found = {path: (body, headers) for path, body, headers in crawl(f"/s/{token}/")}
    for path, (body, headers) in found.items():
        search(path, readable(body, headers))
    wanted = [
        "",
        "config/",
        "files/",
        "live.json",
        "data/forecast.json",
        "downloads/report.html",
        "offline.zip?samples=1",
    ]
    wanted += ["downloads/experiment.json", "downloads/problems.csv"]
    if not how:
        wanted += ["samples/", "analysis/", "downloads/samples.jsonl"]
        assert sum("/artifacts/" in path for path in found) == 2  # the third cannot be read through
    assert {f"/s/{token}/{each}" for each in wanted} <= set(found)
    assert HIDDEN.encode() in found[f"/s/{token}/config/"][0]


@pytest.mark.django_db(transaction=True)
def test_a_comparison_and_a_chart_name_nobody(experiment: Experiment, link: Link) -> None:
    for target, scope in (
        ("comparison", {"query": f"e={experiment.code}&settings=all"}),
        ("chart", {"experiment": str(experiment.code), "chart": "coverage"}),
    ):
        _, token = link(target, scope, anonymous=True, embed_hosts=["lab.example.org"])
        start = f"/s/{token}/" + (f"?{scope['query']}" if "query" in scope else "")
        reached = list(crawl(start))
        assert reached
        for path, body, headers in reached:
            search(path, readable(body, headers))


@pytest.mark.django_db(transaction=True)
def test_live_messages_name_nobody(broker: Any, experiment: Experiment, link: Link) -> None:
    _, token = link("experiment", {"experiment": str(experiment.code)}, anonymous=True)
    state = live_state(experiment)
    search_all = str(state).casefold()
    assert "quillfeather" in search_all and "/home/" in search_all

    async def listen() -> str:
        page = socket(f"/ws/s/{token}/", [(b"origin", b"http://localhost"), (b"host", b"localhost")])
        assert await page.connect()
        assert await page.read() == {"type": "ready"}
        message = {"type": "experiment.changed", "state": state}
        await get_channel_layer().group_send(group_name(experiment.code), message)
        answer = await page.read()
        await page.disconnect()
        return str(answer)

    search("socket", asyncio.run(_in_loop(listen)))


async def _in_loop(listen: Any) -> str:
    return str(await listen())


@pytest.mark.django_db(transaction=True)
def test_members_and_other_links_see_the_names(experiment: Experiment, link: Link) -> None:
    _, token = link("experiment", {"experiment": str(experiment.code)})
    assert b"Ada Quillfeather: finches" in get(f"/s/{token}/")[1]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("It will do", "It will do"),
        ("Will did it", "hidden did it"),
        ("on will-pc.local", "on hidden-pc.local"),
        ("ada  MARSH, ada_marsh", "hidden, hidden"),
        ("GPU-7 and gpu-70", "hidden and gpu-70"),
        ("in /data/x/y and ~/z/q, 1/2/3 of a/b/c", "in hidden and hidden, 1/2/3 of a/b/c"),
        ("https://example.org/a/b stays", "https://example.org/a/b stays"),
        ("finished", "finished"),
    ],
)
def test_what_is_found_in_a_text(text: str, clean: str, db: None) -> None:
    assert Redactor(["Will", "Ada Marsh", "gpu-7", "finished", "ab", ""]).text(text) == clean


def test_markup_and_keys_stay(db: None) -> None:
    redactor = Redactor(["table", "O'Brien & Co"])
    markup = '<table class="table" title="a table"><td>table of O&#x27;Brien &amp; Co</td></table>'
    assert redactor.html(markup) == '<table class="table" title="a hidden"><td>hidden of hidden</td></table>'
    assert redactor.json({"table": ["table", 1, None, "/s/table/"]}) == {"table": ["hidden", 1, None, "/s/table/"]}


@given(st.text(max_size=40))
def test_texts_without_secrets_stay_as_they_are(text: str) -> None:
    if "/" not in text and "\\" not in text:
        assert Redactor(["zyxwv uvxyz"]).text(text) == text
