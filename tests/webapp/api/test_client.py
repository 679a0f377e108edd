"""The client and the ``canopy`` command against the real API, called without a network."""

from __future__ import annotations

import ast
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.core.wsgi import get_wsgi_application

import webapp.client
from jobs.kinds.sampling.models import Sample
from jobs.models import Experiment, Shard, Status
from tests.webapp.test_samples import draw
from webapp.accounts.models import Team, User
from webapp.api.models import ApiToken
from webapp.client import ApiError, Client, Unreachable, cli, login, plot
from webapp.client.types import Curve

Make = Callable[..., Experiment]
pytestmark = [
    pytest.mark.usefixtures("one_connection"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),  # WSGI; servers run ASGI
]
SERVER = "http://localhost"


@pytest.fixture
def text(token_for: Callable[..., tuple[ApiToken, str]], alice: User) -> str:
    return token_for(alice)[1]


def through(token: str, transport: httpx2.BaseTransport | None = None) -> Client:
    app = httpx2.WSGITransport(app=get_wsgi_application())
    return Client(SERVER, token, transport=transport or app, sleep=lambda seconds: None)


@pytest.fixture
def canopy(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """``canopy("list", "--json")``: exit code, standard output, standard error."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CANOPY_SERVER", SERVER)
    monkeypatch.setenv("CANOPY_TOKEN", text)
    monkeypatch.setattr(cli, "connect", lambda chosen=None: through((chosen or login.load()).token))
    for name in ("out", "err"):
        monkeypatch.setattr(cli, name, cli.Console(highlight=False, width=200, stderr=name == "err"))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


# --- client -----------------------------------------------------------------------------------------------------------


def test_the_client_needs_neither_django_nor_torch() -> None:
    for file in Path(webapp.client.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.split(".")[0] not in {"django", "torch", "jobs", "engine", "kernels", "ninja"}, file
                assert not name.startswith("webapp") or name.startswith("webapp.client"), file


def test_everything_through_the_client(text: str, team: Team, alice: User, tmp_path: Path) -> None:
    with through(text) as canopy:
        assert canopy.me().person is not None and canopy.me().person.name == "Alice"
        assert [one.name for one in canopy.teams()] == ["Marsh lab"]
        assert canopy.kinds()[0].spec_schema["properties"]["samples"]["maximum"] == 10_000
        code = str(team.code)
        made_set = canopy.add_problem_set(code, "sums", [{"question": "1 + 1?", "answer": "2"}])
        assert made_set in canopy.problem_sets(code)
        made = canopy.submit(code, "sampling", {"problems": made_set.value, "samples": 2}, name="one")
        again = canopy.submit(code, "sampling", {"samples": 2, "limit": 1}, idempotency_key="k")
        assert canopy.submit(code, "sampling", {"samples": 2, "limit": 1}, idempotency_key="k") == again
        assert [one.code for one in canopy.experiments(code, limit=1)] == [again.code, made.code]
        assert canopy.change(made.code, name="two", priority="low").name == "two"
        assert canopy.draw_more(made.code, 4).spec["samples"] == 4
        assert [state.status for state in _cancelled_then_watched(canopy, made.code)] == ["cancelled"]
        assert canopy.retry(made.code).status == "queued"
        with pytest.raises(ApiError) as refused:
            canopy.regrade(made.code, "gsm8k")
        assert refused.value.status == 409 and "finished" in refused.value.detail
        with pytest.raises(ApiError, match="finished"):
            canopy.score(made.code, "org/judge")
        experiment = Experiment.objects.get(code=made.code)
        draw(experiment, 3)
        assert len(list(canopy.samples(made.code, limit=2))) == Sample.objects.filter(experiment=experiment).count()
        assert len(list(canopy.problems(made.code))) == 1
        assert canopy.live(made.code).seq == canopy.experiment(made.code).seq
        assert canopy.workers(code) == []
        canopy.cancel(made.code)
        canopy.delete(made.code)
        with pytest.raises(ApiError) as gone:
            canopy.experiment(made.code)
        assert gone.value.status == 404


def _cancelled_then_watched(canopy: Client, code: str) -> list[Any]:
    canopy.cancel(code)
    return list(canopy.watch(code))


def test_what_is_tried_again_and_what_is_not() -> None:
    asked: list[str] = []
    waited: list[float] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.method)
        if len(asked) < 3:
            return httpx2.Response(429 if len(asked) == 1 else 503, headers={"Retry-After": "7"}, json={})
        return httpx2.Response(200, json={"items": [], "next_cursor": None})

    client = Client(SERVER, "t", transport=httpx2.MockTransport(answer), sleep=waited.append)
    assert client.teams() == []
    assert (asked, waited) == (["GET"] * 3, [7.0, 7.0])
    asked.clear()
    with pytest.raises(Unreachable):
        client.cancel("code")
    assert asked == ["POST"]  # whether it was done is not known: it is not done twice


def test_a_repeated_submit_carries_one_key() -> None:
    keys: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        keys.append(request.headers["Idempotency-Key"])
        raise httpx2.ConnectError("gone", request=request)

    client = through("t", httpx2.MockTransport(answer))
    with pytest.raises(Unreachable, match="does not answer"):
        client.submit("team", "sampling", {})
    assert len(keys) == 4 and len(set(keys)) == 1


def test_a_broken_stream_goes_on_where_it_was() -> None:
    def state(seq: int, status: str) -> str:
        body = {"after": 0, "seq": seq, "status": status, "reason": "", "name": "n", "eta_seconds": None}
        return f"id: {seq}\nevent: state\ndata: {json.dumps(body | {'stages': [], 'kind': {}})}\n\n"

    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params["after"])
        if len(asked) == 2:
            raise httpx2.ReadError("broken", request=request)
        text = state(5, "running") if len(asked) == 1 else ": still here\n\n" + state(9, "finished")
        return httpx2.Response(200, text=text, headers={"Content-Type": "text/event-stream"})

    states = list(through("t", httpx2.MockTransport(answer)).watch("code"))
    assert [one.seq for one in states] == [5, 9]
    assert asked == ["0", "5", "5"]


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    class Broken(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            yield b"half"
            raise httpx2.ReadError("broken")

    client = through("t", httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Broken())))
    with pytest.raises(Unreachable):
        client.download("code", "samples.jsonl", tmp_path / "samples.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_something_else_at_the_address() -> None:
    client = through("t", httpx2.MockTransport(lambda request: httpx2.Response(404, text="<html>")))
    with pytest.raises(Unreachable, match="no Canopy"):
        client.me()


# --- command ----------------------------------------------------------------------------------------------------------


def test_login_keeps_the_token_for_its_owner_only(
    canopy: Any, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CANOPY_SERVER")
    monkeypatch.delenv("CANOPY_TOKEN")
    assert canopy("whoami")[0] == cli.NO_LOGIN
    assert canopy("login", "localhost", "--token", text)[0] == cli.USAGE
    assert canopy("login", SERVER, "--token", "wrong")[0] == cli.REFUSED
    assert not login.path().exists()
    code, said, _ = canopy("login", SERVER, "--token", text)
    assert (code, "Logged in as Alice" in said, text in said) == (0, True, False)
    assert stat.S_IMODE(login.path().stat().st_mode) == 0o600
    assert json.loads(canopy("whoami", "--json")[1])["teams"][0]["name"] == "Marsh lab"
    assert canopy("logout")[0] == 0
    assert canopy("whoami")[0] == cli.NO_LOGIN


def test_submit_from_a_file(canopy: Any, team: Team, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("kind: sampling\nname: From a file\nspec:\n  samples: 2\n  limit: 3\n")
    code, said, _ = canopy("submit", str(file), "--key", "k")
    made = Experiment.objects.get()
    assert (code, said.strip(), made.name, made.spec["samples"]) == (0, str(made.code), "From a file", 2)
    assert canopy("submit", str(file), "--key", "k")[1] == said
    file.write_text(json.dumps({"kind": "sampling", "spec": {"temperature": 9}}))
    code, _, complaint = canopy("submit", str(file))
    assert code == cli.REFUSED and "spec.temperature: Must be between 0 and 2." in complaint
    for wrong in ("- a", "kind: [", "kind: sampling\nsamples: 3", "kind: sampling\nspec: 3", "\x00"):
        file.write_text(wrong)
        assert canopy("submit", str(file))[0] == cli.USAGE, wrong
    assert canopy("submit", str(tmp_path / "none"))[0] == cli.USAGE
    assert Experiment.objects.count() == 1


def test_more_where_it_helps(canopy: Any, team: Team, make_experiment: Make) -> None:
    made = make_experiment(problems=6, spec={"samples": 8}, status=Status.FINISHED)
    for problem in made.problems.all():
        problem.n, problem.c = 8, max(0, problem.index - 1)
        problem.save()
    asked = ("more-where-it-helps", str(made.code), "50")
    shown = json.loads(canopy(*asked, "--preview", "--json")[1])
    assert (shown["samples"], shown["problems"], shown["number"], shown["dollars"]) == (50, 2, 1, None)
    assert shown["lo"] + shown["newly_solved"] > 0 and shown["evenly"] < shown["newly_solved"] <= shown["hi"]
    assert "extra" not in Experiment.objects.get().spec
    code, said, told = canopy(*asked, "--yes")
    assert code == 0 and "queued" in said and "50 samples of 2 problems" in told and "model-based" in told
    assert Experiment.objects.get().spec["extra"] == [{"up_to": {"33": [0, 1]}}]
    assert canopy(*asked, "--unit", "dollars", "--yes")[0] == cli.REFUSED
    assert canopy(*asked, "--unit", "euros", "--yes")[0] == cli.REFUSED


def test_list_show_and_actions(canopy: Any, team: Team, make_experiment: Make) -> None:
    made = make_experiment(name="Bad \x1b[31mname", status=Status.QUEUED)
    Shard.objects.create(experiment=made, stage="generate", stage_index=0, index=0, queue="gpu")
    for command in (["list"], ["show", str(made.code)]):
        code, said, _ = canopy(*command)
        assert code == 0 and "\x1b" not in said and "name" in said
    assert json.loads(canopy("list", "--json", "--team", "Marsh lab")[1])[0]["code"] == str(made.code)
    assert canopy("list", "--team", "Nobody")[0] == cli.USAGE
    assert canopy("rename", str(made.code), "Good")[0] == 0
    assert json.loads(canopy("cancel", str(made.code), "--json")[1])["status"] == "cancelled"
    assert canopy("cancel", str(made.code))[0] == cli.REFUSED
    assert canopy("retry", str(made.code))[0] == 0
    assert canopy("cancel", str(made.code))[0] == 0
    assert canopy("delete", str(made.code), "--yes")[0] == 0
    assert canopy("show", str(made.code))[0] == cli.REFUSED
    assert canopy("nonsense")[0] == cli.USAGE


def test_offline_copy(canopy: Any, make_experiment: Make, tmp_path: Path) -> None:
    made = make_experiment(status=Status.FINISHED, n=2, c=1)
    target = tmp_path / "copy.zip"
    assert canopy("offline", str(made.code), "--to", str(target), "--samples")[0] == 0
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None and "arithmetic/files/samples.jsonl" in archive.namelist()


def test_share_links(canopy: Any, team: Team, make_experiment: Make) -> None:
    made = make_experiment(name="Bad \x1b[31mname", status=Status.FINISHED, n=2, c=1)
    code, said, words = canopy("share", "make", str(made.code), "--label", "reviewers", "--anonymous", "--freeze")
    assert code == 0 and said.startswith(f"{SERVER}/s/") and "Names of people" in words and "\x1b" not in words
    framed = canopy("share", "make", str(made.code), "--chart", "coverage", "--embed", "lab.org", "--json")[1]
    assert "<iframe" in json.loads(framed)["embed_code"]
    address = f"{SERVER}/teams/{team.code}/compare/?e={made.code}&x=flops"
    assert canopy("share", "make", address, "--days", "0")[0] == 0
    listed = json.loads(canopy("share", "list", "--json")[1])
    assert [one["target"] for one in listed] == ["comparison", "chart", "experiment"]
    assert [one["expires_at"] is None for one in listed] == [True, False, False] and "url" not in listed[0]
    link = listed[2]["code"]
    assert canopy("share", "pause", link)[1].endswith("paused, anonymous, frozen\n")
    assert json.loads(canopy("share", "resume", link, "--json")[1])["state"] == "open"
    assert canopy("share", "revoke", link, listed[1]["code"])[0] == 0
    assert canopy("share", "resume", link)[0] == cli.REFUSED
    code, said, _ = canopy("share", "list", "--state", "revoked")
    assert code == 0 and "reviewers" in said and "\x1b" not in said
    assert canopy("share", "make", str(made.code), "--chart", "nothing")[0] == cli.REFUSED
    assert canopy("share", "make", address, "--chart", "coverage")[0] == cli.USAGE
    assert canopy("share", "make", str(made.code), "--scene", "1")[0] == cli.REFUSED  # it has none
    assert canopy("share", "make", str(made.code), "--scene", "1", "--chart", "coverage")[0] == cli.USAGE


@pytest.mark.parametrize(("status", "exit_code"), [("finished", 0), ("failed", 1), ("cancelled", 1)])
def test_watch_tells_how_it_ended(status: str, exit_code: int, canopy: Any, make_experiment: Make) -> None:
    made = make_experiment(status=status, n=8, c=2)
    code, said, _ = canopy("watch", str(made.code))
    assert code == exit_code and "coverage: " in said and "⠀" in said
    code, said, _ = canopy("watch", str(made.code), "--json")
    assert code == exit_code and [json.loads(line)["status"] for line in said.splitlines()] == [status]


def test_pull(canopy: Any, make_experiment: Make, tmp_path: Path) -> None:
    made, other = make_experiment(status=Status.FINISHED), make_experiment(status=Status.FINISHED, n=4, c=1)
    draw(made, 2)
    assert canopy("pull", str(made.code), "samples.jsonl", "--to", str(tmp_path / "new"))[0] == 0
    assert canopy("pull", str(other.code), "coverage.csv", "--to", str(tmp_path / "new"))[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "new" / "samples.jsonl").read_text().split("\n") if line]
    assert len(rows) == Sample.objects.count() == 6
    head, first, *_ = (tmp_path / "new" / "coverage.csv").read_text().splitlines()
    assert head == "k,coverage,low,high" and first.split(",")[0] == "1"
    assert float(first.split(",")[1]) == pytest.approx(0.25)
    assert canopy("pull", str(made.code), "none.csv")[0] == cli.USAGE
    assert "problems.csv" in canopy("files", str(made.code))[1]


@pytest.mark.parametrize("name", ["", "..", "a/..", "a\nb", "\x1b"])
def test_a_hostile_file_name_stays_in_its_folder(name: str) -> None:
    with pytest.raises(cli.WrongUse):
        cli.safe_name(name)
    assert cli.safe_name("../../etc/passwd") == "passwd"


def test_compare(canopy: Any, make_experiment: Make) -> None:
    one = make_experiment(name="cold", n=8, c=2, spec={"temperature": 0.2})
    two = make_experiment(name="warm", n=5, c=5)
    code, said, _ = canopy("compare", str(one.code), str(two.code), "--json")
    found = json.loads(said)
    assert (code, found["k"], found["differing"]) == (0, [1, 2, 4, 5], ["temperature"])
    assert found["experiments"][0]["coverage"]["1"] == pytest.approx(0.25)
    said = canopy("compare", str(one.code), str(two.code))[1]
    assert "coverage at 5" in said and "temperature" in said
    assert canopy("compare", str(one.code))[0] == cli.USAGE


def test_common_ks() -> None:
    def curve(last: int) -> Curve:
        k = list(range(1, last + 1))
        return Curve(k=k, coverage=[0.5] * last, lo=[0.0] * last, hi=[1.0] * last, complete_to=last)

    assert cli.common_ks([curve(6), curve(100)]) == [1, 2, 4, 6]
    assert cli.common_ks([curve(8)]) == [1, 2, 4, 8]
    assert cli.common_ks([curve(1), curve(0)]) == []


def test_plot() -> None:
    assert plot.draw([], []) == []
    lines = plot.draw([1, 10, 100], [0.0, 0.5, 1.0], width=10, height=4)
    assert len(lines) == 5 and all(len(line) == 15 for line in lines)
    # A straight line on the logarithmic axis: from the lower left dot to the upper right one.
    assert ord(lines[3][5]) & 0x40 and ord(lines[0][14]) & 0x08
    assert [line[5:].strip("⠀") == "" for line in plot.draw([1], [1.0], width=3, height=2)[1:2]] == [True]
    assert lines[4].split() == ["1", "100"]
