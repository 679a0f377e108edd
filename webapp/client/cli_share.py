"""``canopy share``: links that show one thing to people without an account."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.table import Table

from webapp.client import cli
from webapp.client.cli import AsJson, TeamOption, app
from webapp.client.types import NewShareLink, ShareLink

share = typer.Typer(help="Make, list, pause and revoke share links.", no_args_is_help=True)
app.add_typer(share, name="share")

LinkCode = Annotated[str, typer.Argument(help="The link's code, as list shows it.", metavar="LINK")]


@share.command()
def make(
    what: Annotated[
        str, typer.Argument(help="An experiment's code, or the address of a comparison.", metavar="CODE|ADDRESS")
    ],
    chart: Annotated[str, typer.Option(help="Only this chart of the experiment, such as coverage.")] = "",
    scene: Annotated[int, typer.Option(min=0, help="Only this scene of the experiment, by its number; 0: all.")] = 0,
    label: Annotated[str, typer.Option(help="Who gets it.")] = "",
    days: Annotated[int, typer.Option(min=0, help="How long it works; 0: until it is revoked.")] = 30,
    samples: Annotated[bool, typer.Option(help="Show sample texts or pictures.")] = True,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Hide people, team, machines and paths.")] = False,
    freeze: Annotated[bool, typer.Option("--freeze", help="Show what is there now, whatever changes later.")] = False,
    embed: Annotated[list[str] | None, typer.Option(help="A site that may show it in a frame; repeat it.")] = None,
    team: TeamOption = "",
    as_json: AsJson = False,
) -> None:
    """Make a link and print its address, this once."""
    query = urlsplit(what).query
    if query and (chart or scene):
        raise cli.WrongUse("--chart and --scene are for one experiment; give its code.")
    if chart and scene:
        raise cli.WrongUse("A link opens one chart or one scene, not both.")
    target = "comparison" if query else "chart" if chart else "scene" if scene else "experiment"
    one = {"chart": chart} if chart else {"scene": scene} if scene else {}
    scope: dict[str, object] = {"query": query} if query else {"experiment": what, **one}
    with cli.connect() as client:
        found = cli._team(client, team) if team or query else client.experiment(what).team
        made = client.share(
            found,
            target,
            scope,
            label=label,
            days=days or None,
            include_samples=samples,
            anonymous=anonymous,
            freeze=freeze,
            embed_hosts=embed or [],
        )
    if as_json:
        return cli._print_json(made)
    _tell(made)
    return None


def _tell(made: NewShareLink) -> None:
    """The address alone on stdout, for scripts; the rest beside it."""
    cli.out.print(cli._text(made.url), soft_wrap=True)
    for title, lines in (("shows", made.shows), ("hides", made.hides), ("for", made.terms)):
        for line in lines:
            cli._say(f"{title:>6}  {line}")
    if made.embed_code:
        cli._say(made.embed_code)


@share.command("list")
def list_links(
    team: TeamOption = "",
    state: Annotated[str, typer.Option(help="open, paused, expired, revoked or all.")] = "",
    mine: Annotated[bool, typer.Option("--mine", help="Only your own.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The team's links, newest first: those that have not ended, unless --state says otherwise."""
    with cli.connect() as client:
        every = client.share_links(
            cli._team(client, team), state=state or None, mine=mine or None, limit=min(limit, 200)
        )
        found = [one for one, _ in zip(every, range(limit), strict=False)]
    if as_json:
        return cli._print_json(found)
    table = Table("Code", "Opens", "Label", "State", "Ends", "Opened", "Made by")
    for one in found:
        ends = f"{one.expires_at:%Y-%m-%d}" if one.expires_at else "never"
        cells = (one.title or "gone", one.label, _state(one), ends, f"{one.use_count:,}", one.made_by)
        table.add_row(one.code, *map(cli._text, cells))
    cli.out.print(table)
    return None


def _state(one: ShareLink) -> str:
    more = [word for word, holds in (("anonymous", one.anonymous), ("frozen", one.frozen_at)) if holds]
    return ", ".join([one.state, *more])


@share.command()
def pause(link: LinkCode, as_json: AsJson = False) -> None:
    """Let a link rest; pages that are open with it are closed."""
    with cli.connect() as client:
        _told(client.pause_share_link(link), as_json)


@share.command()
def resume(link: LinkCode, as_json: AsJson = False) -> None:
    """Let a paused link work again."""
    with cli.connect() as client:
        _told(client.resume_share_link(link), as_json)


@share.command()
def revoke(
    links: Annotated[list[str], typer.Argument(help="One link or several.", metavar="LINK...")], as_json: AsJson = False
) -> None:
    """End links for ever."""
    with cli.connect() as client:
        for link in links:
            _told(client.revoke_share_link(link), as_json)


def _told(one: ShareLink, as_json: bool) -> None:
    if as_json:
        cli._print_json(one)
    else:
        cli.out.print(cli._text(f"{one.title or 'gone'}: {_state(one)}"))
