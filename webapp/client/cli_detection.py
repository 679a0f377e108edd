"""The commands of detection: data sets, scores, a picture of one's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

import typer
from rich.table import Table

from webapp.client import cli
from webapp.client.cli import AsJson, Code, TeamOption, app
from webapp.client.types import Score


@app.command()
def scores(
    code: Code,
    metric: Annotated[str, typer.Option(help="ap, ap50 or ap75.")] = "ap75",
    as_json: AsJson = False,
) -> None:
    """AP of a detection experiment: methods against test angles, the mean over seeds and its spread."""
    if metric not in ("ap", "ap50", "ap75"):
        raise cli.WrongUse("--metric is ap, ap50 or ap75.")
    with cli.connect() as client:
        found = client.scores(code)
    if as_json:
        return cli._print_json(found)
    angles = sorted({score.angle for score in found})
    methods = dict.fromkeys(_method(score) for score in found)
    table = Table(f"{metric.upper()} by angle", *(f"{angle:g}°" for angle in angles))
    for method in methods:
        cells = [
            [getattr(score, metric) for score in found if _method(score) == method and score.angle == angle]
            for angle in angles
        ]
        table.add_row(cli._text(method), *map(_spread, cells))
    cli.out.print(table)
    return None


def _method(score: Score) -> str:
    return score.label.rpartition(", seed ")[0]


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    spread = f" ± {stdev(known):.3f}" if len(known) > 1 else ""
    return f"{fmean(known):.3f}{spread}"


@app.command("data-sets")
def data_sets(team: TeamOption = "", as_json: AsJson = False) -> None:
    """The team's data sets for detection."""
    with cli.connect() as client:
        found = client.data_sets(cli._team(client, team))
    if as_json:
        return cli._print_json(found)
    table = Table("Value for the spec's data", "Name", "State", "Images", "Objects", "Masks")
    for one in found:
        counts = [str(one.counts.get(name, "")) for name in ("images", "objects")]
        table.add_row(one.value, cli._text(one.name), one.state, *counts, "all" if one.has_masks else "")
    cli.out.print(table)
    return None


@app.command("add-data-set")
def add_data_set(
    source: Annotated[str, typer.Argument(help="A zip here, or with --on-workers a folder there.")],
    name: Annotated[str, typer.Option(help="Empty: the file's name.")] = "",
    format: Annotated[str, typer.Option(help="coco, voc or yolo. Empty: found out.")] = "",
    on_workers: Annotated[bool, typer.Option("--on-workers", help="SOURCE is a folder that the workers see.")] = False,
    team: TeamOption = "",
    as_json: AsJson = False,
) -> None:
    """Upload a zip of images with labels, wait until it is read, and print what is wrong in it."""
    if not on_workers and not Path(source).is_file():
        raise cli.WrongUse(f"There is no file {source}. A folder on the workers needs --on-workers.")
    with cli.connect() as client:
        of_team = cli._team(client, team)
        if on_workers:
            made = client.add_data_set_folder(of_team, source, name=name, format=format)
        else:
            made = client.upload_data_set(of_team, Path(source), name=name, format=format)
        for _ in client.watch(made.reader) if made.reader else ():
            pass
        made = client.data_set(made.code)
    if as_json:
        cli._print_json(made)
    else:
        cli.tell_set(made)
    if made.state != "ready":
        raise typer.Exit(cli.FAILED)


@app.command("try")
def try_picture(
    code: Code, file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)], as_json: AsJson = False
) -> None:
    """Show a picture of your own to every detector of an experiment, turned from 0 to 90 degrees."""
    with cli.connect() as client:
        made = client.try_picture(code, file)
        while made.state in ("queued", "running", "waiting"):
            time.sleep(1.0)
            made = next(one for one in client.tried_pictures(code) if one.code == made.code)
        labels = {str(run.index): run.label for run in client.runs(code)}
    if as_json:
        return cli._print_json(made)
    if made.state != "done":
        cli._say(f"{made.name}: {made.state}. {made.reason}")
        raise typer.Exit(cli.FAILED)
    table = Table("Objects found with a score of 0.5 or more", *(f"{angle:g}°" for angle in made.angles))
    for run, found in made.found.items():
        counts = [str(sum(row[1] >= 0.5 for row in found.get(f"{angle:g}", []))) for angle in made.angles]
        table.add_row(cli._text(labels.get(run, run)), *counts)
    cli.out.print(table)
    return None
