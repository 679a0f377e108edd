"""Who gets what answer at which address: every address of the URL conf times every kind of visitor.

The addresses are enumerated from the URL conf, so a page that is not in the table fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from jobs.kinds.detection.models import DataSet
from jobs.models import Artifact, Experiment, Status
from tests.webapp.detection import make_detection
from tests.webapp.scenes import make_drawn, make_scenes, make_set
from webapp.accounts.memberships import invite
from webapp.accounts.models import Invitation, Team, User
from webapp.api.models import make_token
from webapp.boards import services as boards
from webapp.boards.content import Content
from webapp.boards.freezing import freeze
from webapp.notifications.models import Alert, Webhook
from webapp.prices.models import Price
from webapp.sharing.models import ShareLink
from webapp.tokens import hash_token

VISITORS = ("anonymous", "outsider", "viewer", "member", "owner", "share")
SIGN_IN = "sign-in"  # a redirect to the sign-in page

# What the six visitors get, in the order of VISITORS. "share" has opened a share link and is not signed in.
PUBLIC = (200,) * 6
OWN = (SIGN_IN, 200, 200, 200, 200, SIGN_IN)
READ = (SIGN_IN, 404, 200, 200, 200, SIGN_IN)
WRITE = (SIGN_IN, 404, 403, 302, 302, SIGN_IN)
MANAGE = (SIGN_IN, 404, 403, 403, 302, SIGN_IN)


@dataclass(frozen=True)
class Page:
    """``keys``: the names of the address's arguments; ``code`` says whose code it is."""

    expected: tuple[int | str, ...]
    keys: tuple[str, ...] = ()
    method: str = "get"
    data: dict[str, Any] = field(default_factory=dict)
    code: str = "experiment"


def post(expected: tuple[int | str, ...], *keys: str, code: str = "experiment", **data: Any) -> Page:
    return Page(expected, keys, "post", data, code)


PAGES = {
    "sign-up": Page((200, 302, 302, 302, 302, 200)),
    "sign-in": Page((200, 302, 302, 302, 302, 200)),
    "sign-out": post((SIGN_IN, 302, 302, 302, 302, SIGN_IN)),
    "account": Page(OWN),
    "api-token-create": post(OWN, name="laptop", acts_for="me", scope="read", expires="30"),
    "api-token-revoke": post((SIGN_IN, 404, 404, 302, 404, SIGN_IN), "code", code="api_token"),  # the member's own
    "api-docs": Page(PUBLIC),
    "api-openapi": Page(PUBLIC),
    "password_reset": Page(PUBLIC),
    "password_reset_done": Page(PUBLIC),
    "password_reset_confirm": Page(PUBLIC, ("uidb64", "reset")),
    "password_reset_complete": Page(PUBLIC),
    "alive": Page(PUBLIC),
    "ready": Page(PUBLIC),
    "metrics": Page((404,) * 6),  # a scraper's token opens it: tests.webapp.operations.test_health
    "home": Page((SIGN_IN, 302, 302, 302, 302, SIGN_IN)),
    "team-new": Page(OWN),
    "team-people": Page(READ, ("team",)),
    "activity": Page((SIGN_IN, 404, 403, 403, 200, SIGN_IN), ("team",)),
    "activity-file": Page((SIGN_IN, 404, 403, 403, 200, SIGN_IN), ("team",)),
    "team-rename": post(MANAGE, "team", name="Reed lab"),
    "member-role": post(MANAGE, "team", "member", role="viewer"),
    "member-remove": post((SIGN_IN, 404, 403, 302, 302, SIGN_IN), "team", "member"),  # the member leaves
    "invite-create": post((SIGN_IN, 404, 403, 403, 200, SIGN_IN), "team", role="viewer"),
    "invite-revoke": post(MANAGE, "team", "code", code="invitation"),
    "invitation": Page((200, 200, 302, 302, 302, 200), ("invitation",)),
    "experiments": Page(READ, ("team",)),
    "experiment-search": Page(READ, ("team",)),
    "compare": Page(READ, ("team",)),
    "workers": Page(READ, ("team",)),
    "team-home": Page(READ, ("team",)),
    "boards": Page(READ, ("team",)),
    "board-create": post(WRITE, "team", title="Autumn"),
    "board-markdown": post(READ, "team", text="*so*"),
    "board-pin-choices": Page(READ, ("team",)),
    "board-pin": post((SIGN_IN, 404, 403, 422, 422, SIGN_IN), "team"),  # without a body
    "board": Page(READ, ("code",), code="board"),
    "board-save": post((SIGN_IN, 404, 403, 422, 422, SIGN_IN), "code", code="board"),  # without a body
    "board-tile": post((SIGN_IN, 404, 403, 422, 422, SIGN_IN), "code", code="board"),
    "board-delete": post(WRITE, "code", code="board", confirm="delete"),
    "board-versions": Page(READ, ("code",), code="board"),
    "board-version": Page(READ, ("code", "version"), code="board"),
    "board-restore": post(WRITE, "code", "version", code="board", base="1"),
    "board-freeze": post(WRITE, "code", code="board"),
    "board-frozen": Page(READ, ("code",), code="frozen"),
    "board-frozen-numbers": Page(READ, ("code",), code="frozen"),
    "board-frozen-delete": post(WRITE, "code", code="frozen"),
    "worker-drain": post((SIGN_IN, 404, 403, 403, 404, SIGN_IN), "team", "worker", on="1"),  # the owner is an operator
    "queue": Page(READ, ("team",)),
    "queue-order": post((SIGN_IN, 404, 403, 403, 404, SIGN_IN), "team", order=""),  # nothing to order
    "webhooks": Page((SIGN_IN, 404, 403, 403, 200, SIGN_IN), ("team",)),
    "webhook": Page((SIGN_IN, 404, 403, 403, 200, SIGN_IN), ("team", "webhook")),
    "webhook-add": post((SIGN_IN, 404, 403, 403, 422, SIGN_IN), "team"),  # without an address
    "webhook-test": post(MANAGE, "team", "webhook"),
    "webhook-remove": post(MANAGE, "team", "webhook"),
    "mail-setting": post((SIGN_IN, 302, 302, 302, 302, SIGN_IN), when="all"),
    "alerts": Page(READ, ("code",)),
    "alert-add": post((SIGN_IN, 404, 403, 422, 422, SIGN_IN), "code"),  # without a number
    "alert-remove": post(WRITE, "code", "alert"),
    "prices": Page(READ, ("team",)),
    "price-add": Page((SIGN_IN, 404, 403, 403, 200, SIGN_IN), ("team", "price_kind")),
    "price-change": Page((SIGN_IN, 404, 403, 403, 200, SIGN_IN), ("team", "price")),
    "price-remove": post(MANAGE, "team", "price"),
    "share-links": Page(READ, ("team",)),
    "experiment-new": Page((SIGN_IN, 404, 403, 200, 200, SIGN_IN), ("team", "kind")),
    "experiment-import": Page((SIGN_IN, 404, 403, 200, 200, SIGN_IN), ("team",)),
    "experiment-estimate": post(READ, "team", "kind"),
    "problem-set-upload": post(WRITE, "team"),
    "data-sets": Page(READ, ("team",)),
    "data-set-add": post((SIGN_IN, 404, 403, 422, 422, SIGN_IN), "team"),  # without a file
    "data-set": Page(READ, ("code",), code="data_set"),
    "data-set-delete": post(WRITE, "code", code="data_set", confirm="delete"),
    "experiment": Page(READ, ("code",)),
    "experiment-tab": Page(READ, ("code", "tab")),
    "experiment-live": Page(READ, ("code",)),
    "experiment-data": Page(READ, ("code", "part")),
    "experiment-download": Page(READ, ("code", "name")),
    "experiment-offline": Page(READ, ("code",)),
    "experiment-offline-size": Page(READ, ("code",)),
    "shared-offline": Page(PUBLIC, ("token",)),
    "shared-offline-size": Page(PUBLIC, ("token",)),
    "experiment-artifact": Page(READ, ("code", "artifact")),
    "experiment-picture": Page(READ, ("code", "picture_part", "picture"), code="detection"),
    "experiment-item": Page(READ, ("code", "item_part", "item"), code="scenes"),
    "experiment-make": post((SIGN_IN, 404, 403, 302, 302, SIGN_IN), "code", code="scenes", operation="new"),
    "scene-sets": Page(READ, ("team",)),
    "scene-set-add": post((SIGN_IN, 404, 403, 422, 422, SIGN_IN), "team"),  # without a file
    "scene-set": Page(READ, ("code",), code="scene_set"),
    "scene-set-cameras": Page(READ, ("code", "view_scene"), code="scene_set"),
    "scene-set-picture": Page(READ, ("code", "view"), code="scene_set"),
    "scene-set-delete": post(WRITE, "code", code="scene_set", confirm="delete"),
    "experiment-try": post(WRITE, "code", code="detection"),  # without a file
    "experiment-cancel": post(WRITE, "code"),
    "experiment-retry": post(WRITE, "code"),
    "experiment-more": post(WRITE, "code", samples="100"),
    "experiment-draw": Page((SIGN_IN, 404, 403, 200, 200, SIGN_IN), ("code",)),
    "experiment-draw-start": post(WRITE, "code", spend="10", unit="samples", number="1"),
    "experiment-regrade": post(WRITE, "code", verifier="gsm8k"),
    "experiment-score": post(WRITE, "code", scorer=""),
    "experiment-rename": post(WRITE, "code", name="Other"),
    "experiment-priority": post(WRITE, "code", priority="9"),
    "experiment-delete": post(WRITE, "code", confirm="delete"),
    "share-words": post((SIGN_IN, 404, 403, 400, 400, SIGN_IN), "team"),  # without a scope
    "share-create": post(WRITE, "team"),  # without a scope
    "share-revoke-many": post(WRITE, "team"),
    "share-pause": post(MANAGE, "code", code="link"),
    "share-resume": post(MANAGE, "code", code="link"),
    "share-revoke": post(MANAGE, "code", code="link"),
    # What each kind of link opens, and what it does not: tests.webapp.sharing.test_scope.
    "shared": Page(PUBLIC, ("token",)),
    "embedded": Page(PUBLIC, ("token",)),
    "shared-board": Page(PUBLIC, ("board_token",)),
    "shared-scene": Page(PUBLIC, ("scene_token",)),
    "shared-scene-poster": Page(PUBLIC, ("scene_token",)),
    "shared-scene-file": Page(PUBLIC, ("scene_token", "scene_file")),
    "shared-compared": Page(PUBLIC, ("comparison_token", "number", "part")),
    "shared-tab": Page(PUBLIC, ("token", "tab")),
    "shared-live": Page(PUBLIC, ("token",)),
    "shared-data": Page(PUBLIC, ("token", "part")),
    "shared-download": Page(PUBLIC, ("token", "name")),
    "shared-artifact": Page(PUBLIC, ("token", "artifact")),
    "shared-item": Page(PUBLIC, ("scenes_token", "item_part", "item")),
    "shared-picture": Page(PUBLIC, ("detection_token", "picture_part", "picture")),
}
HAVE_FORMS = {"sign-up", "sign-in", "password_reset", "password_reset_confirm"}
READ_ONLY = [
    name
    for name, page in PAGES.items()
    if page.method == "get" and page.expected in (READ, PUBLIC)
    if name not in HAVE_FORMS
]


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace == "api-v1":  # has a table of its own: tests.webapp.api.test_permissions
                continue
            yield from names(pattern.url_patterns)
        else:
            yield pattern.name or str(pattern.pattern)


def test_every_address_is_in_the_table() -> None:
    assert sorted(names(get_resolver().url_patterns)) == sorted(PAGES)


@dataclass
class World:
    """Finished experiments with an artifact, an invitation, a share link, and a client for each visitor."""

    arguments: dict[str, Any]
    codes: dict[str, Any]
    clients: dict[str, Client]

    def url(self, name: str) -> str:
        page = PAGES[name]
        values = self.arguments | {"code": self.codes[page.code]}
        renamed = {"reset": "token", "invitation": "token", "detection_token": "token"}
        renamed |= {"picture_part": "part", "picture": "key", "price_kind": "kind", "scenes_token": "token"}
        renamed |= {"item_part": "part", "item": "key", "view_scene": "key", "view": "key"}
        renamed |= {
            "comparison_token": "token",
            "board_token": "token",
            "scene_token": "token",
            "scene_file": "artifact",
        }
        renamed |= {"version": "number"}
        return reverse(name, kwargs={renamed.get(key, key): values[key] for key in page.keys})


pytestmark = pytest.mark.usefixtures("broker")  # "ready" asks for it


@pytest.fixture
def world(
    team: Team,
    alice: User,
    bob: User,
    vera: User,
    charlie: User,
    make_experiment: Callable[..., Experiment],
    as_user: Callable[[User], Client],
    tmp_path: Any,
    settings: Any,
) -> World:
    settings.MEDIA_ROOT = tmp_path
    experiment = make_experiment(status=Status.FINISHED, n=4, c=1)
    file = ContentFile(b"{}", "samples.json")
    artifact = Artifact.objects.create(
        experiment=experiment, name="samples.json", content_type="application/json", size=2, file=file
    )
    invitation = invite(team, role="member", by=alice)
    board = boards.create(team, Content(title="Summer"), boards.Author.of(alice))
    link = ShareLink.objects.create(
        experiment=experiment,
        token_prefix="secret",
        token_hash=hash_token("secret-token"),
        created_by=alice,
        embed_hosts=["lab.example.org"],
    )
    ShareLink.objects.create(
        team=team,
        target="comparison",
        scope={"query": f"e={experiment.code}"},
        token_prefix="compar",
        token_hash=hash_token("comparison-token"),
        created_by=alice,
    )
    ShareLink.objects.create(
        team=team,
        target="board",
        scope={"board": str(board.code)},
        token_prefix="boards",
        token_hash=hash_token("board-token"),
        created_by=alice,
    )
    detection = make_detection(team, spec={"rules": ["ellipse"], "seeds": 1, "angles": [0.0]}, epochs=0)
    ShareLink.objects.create(
        experiment=detection, token_prefix="pictur", token_hash=hash_token("picture-token"), created_by=alice
    )
    scenes = make_scenes(team, spec={"scenes": 1}, drawn=0, trained=0)
    make_drawn(scenes.generated_scenes.get(), previews=0)
    ShareLink.objects.create(
        experiment=scenes, token_prefix="scenes", token_hash=hash_token("scenes-token"), created_by=alice
    )
    ShareLink.objects.create(
        experiment=scenes,
        target="scene",
        scope={"experiment": str(scenes.code), "scene": 1},
        token_prefix="scene1",
        token_hash=hash_token("scene-token"),
        created_by=alice,
    )
    token, _ = make_token(name="laptop", scope="read", created_by=bob, user=bob, team=None, days=30)
    price = Price.objects.create(
        team=team, kind="tokens", name="lab", input=1, output=2, as_of="2026-01-01", source="a bill"
    )
    share = Client()
    assert share.get(reverse("shared", args=["secret-token"])).status_code == 200
    signed_in = {"outsider": charlie, "viewer": vera, "member": bob, "owner": alice}
    return World(
        arguments={
            "team": team.code,
            "member": bob.code,
            "invitation": invitation,
            "kind": "sampling",
            "price_kind": "tokens",
            "worker": "gpu@nowhere",
            "price": price.code,
            "alert": Alert.objects.create(experiment=experiment, condition="stuck", number=5).code,
            "webhook": Webhook.objects.create(team=team, url="https://lab.example.org/hook").code,
            "tab": "config",
            "part": "forecast",
            "name": "coverage.csv",
            "artifact": artifact.code,
            "token": "secret-token",
            "detection_token": "picture-token",
            "comparison_token": "comparison-token",
            "board_token": "board-token",
            "scene_token": "scene-token",
            "scene_file": scenes.artifacts.get(name="scene-0001/volume.rgba.gz").code,
            "number": 0,
            "picture_part": "prediction",
            "scenes_token": "scenes-token",
            "item_part": "scene",
            "item": "1",
            "view_scene": "0",
            "view": "0-1",
            "picture": detection.pictures.earliest("pk").code,
            "version": 1,
            "uidb64": "MQ",
            "reset": "set-password",
        },
        codes={
            "experiment": experiment.code,
            "detection": detection.code,
            "scenes": scenes.code,
            "scene_set": make_set(team, pictures=2).code,
            "invitation": Invitation.objects.get().code,
            "link": link.code,
            "api_token": token.code,
            "board": board.code,
            "frozen": freeze(board, boards.Author.of(alice)).code,
            "data_set": DataSet.objects.create(team=team, name="cells", source="upload").code,
        },
        clients={"anonymous": Client(), "share": share} | {who: as_user(user) for who, user in signed_in.items()},
    )


def answer(response: Any) -> int | str:
    """The status, or SIGN_IN for a redirect to the sign-in page."""
    is_sign_in = response.status_code == 302 and response.url.startswith(reverse("sign-in") + "?")
    return SIGN_IN if is_sign_in else int(response.status_code)


# One after the other in one test, each undone before the next: a world per pair would take minutes.
@pytest.mark.parametrize("name", PAGES)
def test_visitors_get(name: str, world: World) -> None:
    page = PAGES[name]
    url = world.url(name)
    found = {}
    for visitor in VISITORS:
        with transaction.atomic():
            found[visitor] = answer(getattr(world.clients[visitor], page.method)(url, page.data))
            transaction.set_rollback(True)
    assert found == dict(zip(VISITORS, page.expected, strict=True))


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.method == "post"])
def test_changes_need_a_post(name: str, world: World) -> None:
    assert world.clients["owner"].get(world.url(name)).status_code == 405


@pytest.mark.parametrize("name", READ_ONLY)
def test_reading_does_not_take_a_post(name: str, world: World) -> None:
    assert world.clients["owner"].post(world.url(name)).status_code == 405


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.method == "post"])
def test_changes_need_a_csrf_token(name: str, world: World, alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(world.url(name), PAGES[name].data).status_code == 403


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if "code" in page.keys])
def test_unknown_codes_look_like_other_teams_codes(name: str, world: World) -> None:
    page = PAGES[name]
    strange = world.codes | {page.code: uuid4()}
    url = World(world.arguments, strange, world.clients).url(name)
    assert getattr(world.clients["owner"], page.method)(url, page.data).status_code == 404
