"""The ``canopy`` command. Exit codes: 0 done, 1 the experiment failed or was cancelled, 2 wrong usage, 3 refused by
the server, 4 no server, 5 not logged in."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import yaml
from pydantic import BaseModel
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from webapp.client import login as logins
from webapp.client import plot
from webapp.client.client import ApiError, Client, Unreachable
from webapp.client.types import Curve, DataSet, Experiment, ExtraDraw, LiveState, SceneSet

MOST_RUNS = 20  # that a terminal shows
FAILED, USAGE, REFUSED, NO_SERVER, NO_LOGIN = 1, 2, 3, 4, 5

app = typer.Typer(
    name="canopy",
    help="Submit, watch and fetch experiments from a terminal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Code = Annotated[str, typer.Argument(help="The experiment's code: the UUID in its page's address.", metavar="CODE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TeamOption = Annotated[str, typer.Option("--team", help="The team's name or code; needed when you have several.")]


class WrongUse(Exception):
    """The command line, or a file it names, is wrong; the sentence says what to change."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and leave with its exit code."""
    try:
        app(args=arguments, prog_name="canopy", standalone_mode=True)
    except ApiError as refusal:
        _say(refusal.detail)
        for field, message in refusal.errors.items():
            _say(f"  {field}: {message}" if field else f"  {message}")
        sys.exit(REFUSED)
    except Unreachable as error:
        _say(str(error))
        sys.exit(NO_SERVER)
    except logins.NotLoggedIn as error:
        _say(str(error))
        sys.exit(NO_LOGIN)
    except WrongUse as error:
        _say(str(error))
        sys.exit(USAGE)
    sys.exit(0)


def _say(text: str) -> None:
    err.print(_text(text))


def _text(value: str, style: str = "") -> Text:
    """What a server sent, with nothing in it that a terminal would obey."""
    return Text("".join(sign if sign.isprintable() else "\ufffd" for sign in value), style=style)


def connect(login: logins.Login | None = None) -> Client:
    found = login or logins.load()
    return Client(found.server, found.token)


def _print_json(value: BaseModel | Iterable[BaseModel]) -> None:
    """As JSON, and nothing else on standard output."""
    plain = (
        value.model_dump(mode="json")
        if isinstance(value, BaseModel)
        else [one.model_dump(mode="json") for one in value]
    )
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")


def _team(client: Client, wanted: str) -> str:
    """The code of the team meant: by name or code, or the only one there is."""
    teams = client.teams()
    matching = [team for team in teams if wanted in ("", team.name, team.code)]
    if len(matching) == 1:
        return matching[0].code
    names = ", ".join(team.name for team in teams) or "none"
    if not matching:
        raise WrongUse(f"Your token reaches no team called {wanted}. It reaches: {names}.")
    raise WrongUse(f"Choose a team with --team. Your token reaches: {names}.")


# --- login ------------------------------------------------------------------------------------------------------------


@app.command()
def login(
    server: Annotated[str, typer.Argument(help="Such as https://canopy.example.org")],
    token: Annotated[
        str,
        typer.Option(prompt="Token (from your account page)", hide_input=True, help="Asked for when left out, unseen."),
    ],
) -> None:
    """Keep the server's address and your token for the other commands."""
    if not server.startswith(("http://", "https://")):
        raise WrongUse("Write the whole address, such as https://canopy.example.org.")
    chosen = logins.Login(server.rstrip("/"), token.strip())
    with connect(chosen) as client:
        me = client.me()
    logins.save(chosen)
    who = me.person.name if me.person else f"the service account {me.token.name}"
    out.print(_text(f"Logged in as {who}; may {me.token.scope}; teams: {', '.join(team.name for team in me.teams)}."))


@app.command()
def logout() -> None:
    """Forget the server and the token. The token itself works until it is revoked on the account page."""
    out.print("Forgotten." if logins.forget() else "You were not logged in.")


@app.command()
def whoami(as_json: AsJson = False) -> None:
    """The token, whom it acts for, and the teams it reaches."""
    with connect() as client:
        me = client.me()
    if as_json:
        return _print_json(me)
    table = Table("Team", "Role", "May write", "Code")
    for team in me.teams:
        table.add_row(_text(team.name), team.role, "yes" if team.can_write else "no", team.code)
    out.print(_text(f"{me.person.name if me.person else me.token.name}, token {me.token.prefix}…, {me.token.scope}"))
    out.print(table)
    return None


# --- experiments ------------------------------------------------------------------------------------------------------


@app.command("list")
def list_experiments(
    team: TeamOption = "",
    status: Annotated[str, typer.Option(help="queued, running, finished, failed or cancelled.")] = "",
    kind: Annotated[str, typer.Option(help="Such as sampling.")] = "",
    q: Annotated[str, typer.Option("--search", help="Part of the name or of the model's name.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The team's experiments, newest first."""
    with connect() as client:
        query = {"status": status or None, "kind": kind or None, "q": q or None, "limit": min(limit, 200)}
        every = client.experiments(_team(client, team), **query)
        found = [one for one, _ in zip(every, range(limit), strict=False)]
    if as_json:
        return _print_json(found)
    table = Table("Code", "Name", "Status", "Result", "Owner", "Created")
    for one in found:
        state = f"{one.status} {one.percent}%" if one.percent is not None else one.status
        owner = one.owner.name if one.owner else ""
        result = str(one.summary.get("text", ""))
        table.add_row(one.code, _text(one.name), state, _text(result), _text(owner), f"{one.created_at:%Y-%m-%d %H:%M}")
    out.print(table)
    return None


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="YAML or JSON: kind, spec, and if you like name and priority.")],
    team: TeamOption = "",
    key: Annotated[str, typer.Option("--key", help="Idempotency key: submit again with it, and it runs once.")] = "",
    watching: Annotated[bool, typer.Option("--watch", help="Stay and watch it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit an experiment from a file, and print its code."""
    asked = read_request(file)
    with connect() as client:
        made = client.submit(
            _team(client, team),
            asked["kind"],
            asked.get("spec") or {},
            name=asked.get("name") or "",
            priority=asked.get("priority") or "normal",
            idempotency_key=key or None,
        )
        if as_json:
            _print_json(made)
        else:
            out.print(made.code, soft_wrap=True)
            _say(made.url)
        if watching:
            raise typer.Exit(_watch(client, made.code, quiet=as_json))


def read_request(file: Path) -> dict[str, Any]:
    """What a file asks for; raises WrongUse for one that cannot be a request."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML too
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"{file} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise WrongUse(f"{file} is neither YAML nor JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        raise WrongUse(f"{file} must hold at least kind, such as kind: sampling, and spec with its settings.")
    if unknown := set(found) - {"kind", "name", "spec", "priority"}:
        raise WrongUse(
            f"{file}: {', '.join(map(str, sorted(unknown, key=str)))} is not known here; settings go into spec."
        )
    if not isinstance(found.get("spec") or {}, dict):
        raise WrongUse(f"{file}: spec must hold settings, such as samples: 16.")
    return found


@app.command()
def show(code: Code, as_json: AsJson = False) -> None:
    """One experiment with its settings."""
    with connect() as client:
        one = client.experiment(code)
    if as_json:
        return _print_json(one)
    table = Table(show_header=False, box=None)
    facts: dict[str, Any] = {"name": one.name, "status": one.status, "reason": one.reason, "priority": one.priority}
    facts |= {
        "owner": one.owner.name if one.owner else "",
        str(one.summary.get("label", "result")): one.summary.get("text"),
    }
    facts |= {"created": f"{one.created_at:%Y-%m-%d %H:%M:%S}", "page": one.url}
    for name, value in (*facts.items(), *((f"spec.{name}", value) for name, value in one.spec.items())):
        if value not in ("", None, []):
            table.add_row(_text(str(name), style="bold"), _text(str(value)))
    out.print(table)
    return None


@app.command()
def cancel(code: Code, as_json: AsJson = False) -> None:
    """Stop an experiment. What was recorded stays."""
    with connect() as client:
        _told(client.cancel(code), as_json)


@app.command()
def retry(code: Code, as_json: AsJson = False) -> None:
    """Queue what failed or was cancelled once more."""
    with connect() as client:
        _told(client.retry(code), as_json)


@app.command()
def more(code: Code, samples: Annotated[int, typer.Argument(min=1)], as_json: AsJson = False) -> None:
    """Draw up to SAMPLES samples per problem in all."""
    with connect() as client:
        _told(client.draw_more(code, samples), as_json)


@app.command("more-where-it-helps")
def more_where_it_helps(
    code: Code,
    spend: Annotated[float, typer.Argument(help="How much to spend, in the unit.")],
    unit: Annotated[str, typer.Option("--unit", help="samples, dollars or gpu-hours.")] = "samples",
    preview: Annotated[bool, typer.Option("--preview", help="Only show what it would do.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Spend SPEND on the problems where more samples are expected to solve most. Shows what that would be first."""
    with connect() as client:
        found = client.preview_extra_draw(code, spend, unit)
        if preview and as_json:
            return _print_json(found)
        for line in _draw_lines(found):
            _say(line)
        if preview:
            return None
        if not yes:
            typer.confirm("Draw them?", abort=True)
        _told(client.draw_where_it_helps(code, spend, unit, number=found.number), as_json)
    return None


def _draw_lines(found: ExtraDraw) -> list[str]:
    prices = [
        f"about {found.tokens:,.0f} tokens" if found.tokens is not None else "",
        f"{found.worker_seconds / 3600:,.3g} hours of workers" if found.worker_seconds is not None else "",
        f"${found.dollars:,.3g}" if found.dollars is not None else "",
    ]
    cost = ", ".join(filter(None, prices)) or "cost not known"
    return [
        f"{found.samples:,} samples of {found.problems:,} problems: {cost}",
        f"expected to solve {found.newly_solved:.1f} of {found.unsolved:,} unsolved problems ({found.lo:.0f} to "
        f"{found.hi:.0f}); spread over all problems {found.evenly:.1f}. A model-based estimate.",
    ]


@app.command()
def regrade(code: Code, verifier: str, as_json: AsJson = False) -> None:
    """Grade every sample again with another verifier."""
    with connect() as client:
        _told(client.regrade(code, verifier), as_json)


@app.command()
def score(
    code: Code,
    scorer: str,
    label: Annotated[int | None, typer.Option(min=0, help="Which of the model's outputs is the score.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score every sample with a reward model."""
    with connect() as client:
        _told(client.score(code, scorer, label), as_json)


@app.command()
def rename(code: Code, name: str, as_json: AsJson = False) -> None:
    """Give an experiment another name."""
    with connect() as client:
        _told(client.change(code, name=name), as_json)


@app.command()
def delete(code: Code, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete an ended experiment with its samples and files. There is no way back."""
    with connect() as client:
        one = client.experiment(code)
        if not yes:
            typer.confirm(f"Delete {one.name} with its samples and files?", abort=True)
        client.delete(code)
    out.print(_text(f"{one.name} is deleted."))


def _told(one: Experiment, as_json: bool) -> None:
    if as_json:
        _print_json(one)
    else:
        out.print(_text(f"{one.name}: {one.status}"))


# --- results ----------------------------------------------------------------------------------------------------------


@app.command()
def watch(
    code: Code,
    as_json: Annotated[bool, typer.Option("--json", help="One state a line, as JSON.")] = False,
) -> None:
    """Follow an experiment to its end, with its progress and its curve. Exit code 1 when it did not finish well."""
    with connect() as client:
        raise typer.Exit(_watch(client, code, quiet=False, as_json=as_json))


def _watch(client: Client, code: str, *, quiet: bool, as_json: bool = False) -> int:
    status = ""
    if quiet or as_json:
        for state in client.watch(code):
            status = state.status
            if as_json:
                sys.stdout.write(state.model_dump_json() + "\n")
                sys.stdout.flush()
    else:
        status = _watch_live(client, code)
    return 0 if status == "finished" else FAILED


def _watch_live(client: Client, code: str) -> str:
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}")
    )
    tasks: dict[str, TaskID] = {}
    status = ""
    with Live(console=out, refresh_per_second=5) as live:
        for state in client.watch(code):
            status = state.status
            _move(bars, tasks, state)
            live.update(Group(_text(_headline(state), style="bold"), bars, *map(_text, _curve_lines(state))))
    return status


def _move(bars: Progress, tasks: dict[str, TaskID], state: LiveState) -> None:
    for stage in state.stages:
        if stage.name not in tasks:
            tasks[stage.name] = bars.add_task(stage.name, total=stage.total, unit=stage.unit)
        bars.update(tasks[stage.name], completed=stage.done, total=stage.total)


def _headline(state: LiveState) -> str:
    parts = [state.name, state.status, state.reason, state.waiting or ""]
    if state.eta_seconds is not None and not state.has_ended:
        parts.append(f"about {round(state.eta_seconds)} s left")
    return ", ".join(part for part in parts if part)


def _curve_lines(state: LiveState) -> list[str]:
    if state.kind.get("total_runs"):
        return _run_lines(state)
    curve = state.kind.get("curve") or {}
    if not curve.get("k"):
        return []
    title = f"coverage: {curve['coverage'][-1]:.1%} at k = {curve['k'][-1]}"
    return [title, *plot.draw(curve["k"], curve["coverage"])]


def _run_lines(state: LiveState) -> list[str]:
    """Of a detection experiment: how far each run is. A state holds those that changed."""
    runs = sorted(state.kind.get("runs", []), key=lambda run: run["index"])
    return [
        f"{run['label']}: epoch {run['epochs']} of {state.kind.get('epochs_planned', 0)}"
        + (f", AP {run['best_ap']:.3f}" if run.get("best_ap") is not None else "")
        for run in runs[:MOST_RUNS]
    ]


@app.command()
def files(code: Code, as_json: AsJson = False) -> None:
    """What ``pull`` can fetch."""
    with connect() as client:
        found = client.files(code)
    if as_json:
        return _print_json(found)
    table = Table("File", "What it is", "Bytes")
    for one in found:
        table.add_row(_text(one.name), _text(one.title), "" if one.size is None else f"{one.size:,}")
    out.print(table)
    return None


@app.command()
def pull(
    code: Code,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Files, or folders such as scene-0001. Left out: all of them."),
    ] = None,
    to: Annotated[Path, typer.Option("--to", "-o", help="The folder to write to.")] = Path(),
) -> None:
    """Fetch files: CSV, JSON lines and Parquet, as pandas, Polars or DuckDB read them."""
    with connect() as client:
        there = [one.name for one in client.files(code)]
        wanted = {name: [each for each in there if each == name or each.startswith(f"{name}/")] for name in names or []}
        if missing := [name for name, found in wanted.items() if not found]:
            raise WrongUse(f"There is no {', '.join(missing)}. There are: {', '.join(there)}.")
        for name in there if names is None else [each for found in wanted.values() for each in found]:
            target = to / safe_path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            size = client.download(code, name, target)
            out.print(_text(f"{target}  {size:,} bytes"), soft_wrap=True)


@app.command()
def offline(
    code: Code,
    to: Annotated[Path | None, typer.Option("--to", "-o", help="The zip to write; left out: CODE.zip.")] = None,
    samples: Annotated[bool, typer.Option("--samples", help="With the texts of samples.")] = False,
) -> None:
    """Fetch the experiment as one zip: unpack it and open index.html, no server is needed."""
    target = to or Path(f"{safe_name(code)}.zip")
    with connect() as client:
        size = client.download_offline_copy(code, target, samples=samples)
    out.print(_text(f"{target}  {size:,} bytes"), soft_wrap=True)


def safe_path(name: str) -> Path:
    """`safe_name`, in the folder of its scene where it has one."""
    folder = name.rpartition("/")[0]
    return Path(folder if re.fullmatch(r"scene-\d{4,9}", folder) else "") / safe_name(name)


def safe_name(name: str) -> str:
    """A file name that stays in its folder, whatever a server says."""
    last = name.replace("\\", "/").rpartition("/")[2]
    if last in ("", ".", "..") or not last.isprintable():
        raise WrongUse(f"The server offers a file called {name!r}, which is no file name.")
    return last


@app.command()
def compare(
    codes: Annotated[list[str], typer.Argument(metavar="CODE CODE...", help="Two experiments or more.")],
    as_json: AsJson = False,
) -> None:
    """Coverage side by side at k = 1, 2, 4, ... as far as all curves reach, and the settings that differ."""
    if len(codes) < 2:
        raise WrongUse("Name two experiments or more.")
    with connect() as client:
        experiments = [client.experiment(code) for code in codes]
        if any(one.kind != "sampling" for one in experiments):
            raise WrongUse("Coverage is of sampling alone. For detection, scores CODE prints AP by method and angle.")
        ks = common_ks([client.curve(code) for code in codes])
        curves = [client.curve(code, ks) for code in codes]
    differing = _differing(experiments)
    if as_json:
        rows = [
            {"code": one.code, "name": one.name, "coverage": {k: curve.at(k) for k in ks}, "spec": one.spec}
            for one, curve in zip(experiments, curves, strict=True)
        ]
        sys.stdout.write(json.dumps({"k": ks, "experiments": rows, "differing": differing}, indent=2) + "\n")
        return
    table = Table("")
    for one in experiments:
        table.add_column(_text(one.name), justify="right")
    for k in ks:
        table.add_row(f"coverage at {k}", *(_band(curve, k) for curve in curves))
    table.add_section()
    for name in differing:
        table.add_row(name, *(_text(str(one.spec.get(name, ""))[:40]) for one in experiments))
    out.print(table)


def common_ks(curves: Sequence[Curve]) -> list[int]:
    """1, 2, 4, ... and the last k that every curve reaches."""
    last = min((curve.complete_to for curve in curves), default=0)
    return sorted({last, *(2**i for i in range(last.bit_length()))}) if last else []


def _band(curve: Curve, k: int) -> str:
    i = curve.k.index(k)
    return f"{curve.coverage[i]:.1%} ({curve.lo[i]:.1%} to {curve.hi[i]:.1%})"


def _differing(experiments: Sequence[Experiment]) -> list[str]:
    names = sorted({name for one in experiments for name in one.spec})
    return [name for name in names if len({json.dumps(one.spec.get(name), sort_keys=True) for one in experiments}) > 1]


def tell_set(made: DataSet | SceneSet) -> None:
    """A data set's value for a spec, and on the other stream how its reading went."""
    out.print(made.value, soft_wrap=True)
    _say(f"{made.name}: {made.state}. {made.reason}".strip())
    for each in made.report.get("problems", [])[:MOST_RUNS]:
        _say(f"  {each['kind'].replace('_', ' ')}: {each['where']}: {each['message']}")


# The commands of other kinds add themselves to the same app; they use what is defined above.
from webapp.client import cli_detection, cli_scenes, cli_share  # noqa: E402, F401
