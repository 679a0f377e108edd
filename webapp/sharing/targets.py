"""What a share link can open: a registry of kinds of targets.

An app that has something to share defines a ShareTarget and registers it in its AppConfig.ready(); nothing here knows
boards or scenes. Its views under /s/<token>/ are wrapped with webapp.sharing.access.opens, which lets in only links of
that target, so that whatever a link reaches is said in two places: the target's ``page`` and the addresses it opens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import HttpRequest, HttpResponseBase

from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.sharing.models import ShareLink

if TYPE_CHECKING:
    from webapp.sharing.access import Visit

Json = dict[str, Any]


class CannotShare(Exception):
    """What was asked for cannot be shared; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a link is about, as cleaned by its target: ``scope`` is what the link stores."""

    scope: Json
    experiment: Experiment | None = None  # the one that it is, or is part of


@dataclass(frozen=True, slots=True)
class About:
    """What a list of links shows of one."""

    title: str
    url: str  # the members' own page of it
    slot: int = 0  # colour of its dot; 0: none


@dataclass(frozen=True, slots=True)
class Words:
    """The scope in plain words, whole sentences. ``shows`` and ``hides`` speak of this target alone; what every link
    has in common (read-only, until when, anonymous, frozen, embedded) is added by webapp.sharing.words."""

    shows: list[str]
    hides: list[str] = field(default_factory=list)


class ShareTarget(ABC):
    name: ClassVar[str]  # kept in links, at most 20 characters: "experiment", "board"
    title: ClassVar[str]  # with its number: "One experiment"
    can_freeze: ClassVar[bool] = False
    can_hide_people: ClassVar[bool] = True  # whether anonymous links can be made

    @abstractmethod
    def clean(self, team: Team, scope: Json) -> Subject:
        """The thing that ``scope`` asks for, if it is the team's. Raises CannotShare. ``scope`` comes from outside."""

    @abstractmethod
    def about(self, link: ShareLink) -> About | None:
        """None when the thing is gone: the link then answers like one that ended."""

    @abstractmethod
    def words(self, link: ShareLink, *, frozen: bool) -> Words:
        """``link`` may be one that is not saved yet; ``frozen``: whether it shows, or will show, a snapshot."""

    @abstractmethod
    def page(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        """What /s/<token>/ answers, and /e/<token> (then ``visit.embedded``: the same without the frame)."""

    def samples_are(self, link: ShareLink) -> str:
        """What ``include_samples`` may leave out, in words; empty: nothing."""
        return ""

    def freeze(self, link: ShareLink) -> Json:
        """What a frozen link keeps; bounded by webapp.sharing.freezing. Only asked where ``can_freeze``."""
        raise NotImplementedError

    def experiments(self, link: ShareLink) -> list[Experiment]:
        """All experiments that it shows something of; anonymous links hide what they name."""
        return [link.experiment] if link.experiment else []


_targets: dict[str, ShareTarget] = {}


def register(target: ShareTarget) -> None:
    known = _targets.setdefault(target.name, target)
    if type(known) is not type(target):
        raise ValueError(f"two share targets are called {target.name}")


def get_target(name: str) -> ShareTarget | None:
    """None for one that this installation does not have (any more)."""
    return _targets.get(name)


def target_of(link: ShareLink) -> ShareTarget | None:
    return get_target(link.target)


def all_targets() -> list[ShareTarget]:
    return list(_targets.values())
