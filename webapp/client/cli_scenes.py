"""The commands of scenes: sets of posed pictures, scenes, scores, a scene of one's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from webapp.client import cli
from webapp.client.cli import AsJson, Code, TeamOption, app

_LATENTS = ("g", "c", "f")


@app.command("scene-sets")
def scene_sets(team: TeamOption = "", as_json: AsJson = False) -> None:
    """The team's sets of posed pictures."""
    with cli.connect() as client:
        found = client.scene_sets(cli._team(client, team))
    if as_json:
        return cli._print_json(found)
    table = Table("Value for the spec's data", "Name", "State", "Scenes", "Views")
    for one in found:
        counts = [str(one.counts.get(name, "")) for name in ("scenes", "views")]
        table.add_row(one.value, cli._text(one.name), one.state, *counts)
    cli.out.print(table)
    return None


@app.command("add-scene-set")
def add_scene_set(
    source: Annotated[str, typer.Argument(help="A zip here, or with --on-workers a folder there.")],
    name: Annotated[str, typer.Option(help="Empty: the file's name.")] = "",
    on_workers: Annotated[bool, typer.Option("--on-workers", help="SOURCE is a folder that the workers see.")] = False,
    team: TeamOption = "",
    as_json: AsJson = False,
) -> None:
    """Upload a zip of posed pictures, wait until it is read, and print what is wrong in it."""
    if not on_workers and not Path(source).is_file():
        raise cli.WrongUse(f"There is no file {source}. A folder on the workers needs --on-workers.")
    with cli.connect() as client:
        of_team = cli._team(client, team)
        if on_workers:
            made = client.add_scene_set_folder(of_team, source, name=name)
        else:
            made = client.upload_scene_set(of_team, Path(source), name=name)
        for _ in client.watch(made.reader) if made.reader else ():
            pass
        made = client.scene_set(made.code)
    if as_json:
        cli._print_json(made)
    else:
        cli.tell_set(made)
    if made.state != "ready":
        raise typer.Exit(cli.FAILED)


@app.command()
def scenes(code: Code, as_json: AsJson = False) -> None:
    """The scenes of an experiment; ``pull CODE scene-0001`` fetches the files of one."""
    with cli.connect() as client:
        found = client.scenes(code)
    if as_json:
        return cli._print_json(found)
    table = Table("Scene", "Made by", "From", "Seed", "State", "Files", "Seconds")
    for one in found:
        sources = ", ".join(str(number) for number in (one.parent, one.other) if number is not None)
        seconds = one.values.get("seconds")
        cells = [
            one.operation,
            sources,
            str(one.seed),
            one.state,
            str(len(one.files)),
            "" if seconds is None else f"{seconds:g}",
        ]
        table.add_row(f"scene-{one.number:04d}", *cells)
    cli.out.print(table)
    return None


@app.command("scene-scores")
def scene_scores(code: Code, as_json: AsJson = False) -> None:
    """How good reconstructions and scenes are, beside the rows they have to be read against."""
    with cli.connect() as client:
        found = client.scene_scores(code)
    if as_json:
        return cli._print_json(found)
    subjects = list(dict.fromkeys(score.subject for score in found))
    table = Table("", *subjects)
    for title in dict.fromkeys(score.title for score in found):
        values = {score.subject: score for score in found if score.title == title}
        unit = next(iter(values.values())).unit
        cells = [
            "" if (score := values.get(subject)) is None or score.value is None else f"{score.value:.4g}"
            for subject in subjects
        ]
        table.add_row(cli._text(f"{title}, {unit}" if unit else title), *cells)
    cli.out.print(table)
    return None


@app.command()
def draw(
    code: Code,
    operation: Annotated[str, typer.Option(help="new, inpaint, vary, join, style or improve.")] = "new",
    seed: Annotated[int | None, typer.Option(help="Left out: any.")] = None,
    parent: Annotated[int | None, typer.Option(help="The scene to start from; of a join the left one.")] = None,
    other: Annotated[int | None, typer.Option(help="The right scene of a join.")] = None,
    box: Annotated[str, typer.Option(help="x0,y0,x1,y1 as shares of the ground: what inpaint draws anew.")] = "",
    strength: Annotated[float | None, typer.Option(help="Of vary, above 0 to 1.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of each latent.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Towards the map, of each latent.")] = None,
    map: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A map from above, PNG.")] = None,
    image: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A picture, for style.")] = None,
    to: Annotated[Path | None, typer.Option("--to", "-o", help="Fetch its files into this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have the trained model of an experiment draw a scene, and wait for it."""
    wanted: dict[str, Any] = {
        "operation": operation,
        "seed": seed,
        "parent": parent,
        "other": other,
        "box": _box(box) if box else None,
        "strength": strength,
    }
    how = {name: value for name, value in (("steps", steps), ("guidance", guidance)) if value is not None}
    wanted |= dict.fromkeys(_LATENTS, how or None)
    with cli.connect() as client:
        made = client.draw_scene(code, map=map, image=image, **wanted)
        while made.is_open:
            time.sleep(1.0)
            made = client.scene(code, made.number)
        for name in made.files if to is not None and made.state == "drawn" else []:
            assert to is not None
            target = to / cli.safe_path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download(code, name, target)
    if as_json:
        cli._print_json(made)
    else:
        cli.out.print(cli._text(f"scene-{made.number:04d}: {made.state}. {made.reason}".strip()))
    if made.state != "drawn":
        raise typer.Exit(cli.FAILED)


def _box(text: str) -> dict[str, float]:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise cli.WrongUse("--box is four numbers from 0 to 1: x0,y0,x1,y1.") from None
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}
