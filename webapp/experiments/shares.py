"""What share links open of experiments: one experiment, one of its charts, or a comparison."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import reverse

from jobs.models import Experiment
from webapp.accounts.models import Team
from webapp.experiments import frozen
from webapp.experiments.compare.query import CompareQuery, chosen
from webapp.experiments.kind_pages import kind_page
from webapp.experiments.page import shared_page
from webapp.sharing.access import Visit
from webapp.sharing.models import ShareLink
from webapp.sharing.targets import About, CannotShare, ShareTarget, Subject, Words

Json = dict[str, Any]
LONGEST_QUERY = 2_000  # characters of a comparison's address


class ExperimentTarget(ShareTarget):
    """scope: {"experiment": code}"""

    name = "experiment"
    title = "One experiment"
    can_freeze = True

    def clean(self, team: Team, scope: Json) -> Subject:
        experiment = find_experiment(team, scope.get("experiment"))
        return Subject({"experiment": str(experiment.code)}, experiment)

    def about(self, link: ShareLink) -> About | None:
        experiment = link.experiment
        if experiment is None:
            return None
        return About(experiment.name, reverse("experiment", args=[experiment.code]), experiment.colour_slot)

    def samples_are(self, link: ShareLink) -> str:
        return kind_page(link.experiment.kind).samples_are if link.experiment else ""

    def words(self, link: ShareLink, *, frozen: bool) -> Words:
        assert link.experiment is not None
        samples = self.samples_are(link)
        shows = [
            f"The experiment {link.experiment.name}: its figures, settings and state",
            "Tables made from its results, to download",
        ]
        hides = ["The log, the workers and the output of failed parts", "Every other experiment, and the team's pages"]
        if samples and link.include_samples and not frozen:  # a snapshot keeps none
            shows.append(f"Its {samples} and the files it made")
        elif samples:
            hides.insert(0, f"Its {samples} and the files it made")
        return Words(shows, hides)

    def page(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        from webapp.experiments.views_live import overview

        return overview(request, shared_page(visit))

    def freeze(self, link: ShareLink) -> Json:
        assert link.experiment is not None
        return frozen.freeze(link.experiment, str(link.scope.get("chart", "")))


class ChartTarget(ExperimentTarget):
    """scope: {"experiment": code, "chart": name in KindPage.charts}"""

    name = "chart"
    title = "One chart"

    def clean(self, team: Team, scope: Json) -> Subject:
        experiment = find_experiment(team, scope.get("experiment"))
        charts = kind_page(experiment.kind).charts
        name = scope.get("chart")
        if not isinstance(name, str) or name not in charts:
            known = ", ".join(charts) or "none yet"
            raise CannotShare(f"There is no such chart. Of {experiment.kind} experiments one can share: {known}.")
        return Subject({"experiment": str(experiment.code), "chart": name}, experiment)

    def about(self, link: ShareLink) -> About | None:
        experiment = link.experiment
        chart = kind_page(experiment.kind).charts.get(str(link.scope.get("chart"))) if experiment else None
        if experiment is None or chart is None:
            return None
        title = f"{chart.title}, {experiment.name}"
        return About(title, reverse("experiment", args=[experiment.code]), experiment.colour_slot)

    def samples_are(self, link: ShareLink) -> str:
        return ""

    def words(self, link: ShareLink, *, frozen: bool) -> Words:
        assert link.experiment is not None
        chart = kind_page(link.experiment.kind).charts[str(link.scope["chart"])]
        return Words(
            [f"The chart {chart.title} of {link.experiment.name}, its numbers, and how far the experiment is"],
            ["The experiment's other charts, its settings, samples and files", "Every other page of the team"],
        )


class ComparisonTarget(ShareTarget):
    """scope: {"query": the part of the compare page's address after "?"}"""

    name = "comparison"
    title = "One comparison"
    can_freeze = True

    def clean(self, team: Team, scope: Json) -> Subject:
        raw = scope.get("query")
        if not isinstance(raw, str) or len(raw) > LONGEST_QUERY:
            raise CannotShare("A comparison is named by its address after the question mark: e=...&e=...")
        query = CompareQuery.parse(QueryDict(raw.removeprefix("?")))
        found = chosen(team, query)
        if not found:
            raise CannotShare("None of the experiments in that address is in this team.")
        if len({each.kind for each in found}) > 1:
            raise CannotShare("Experiments of different kinds have no common measure; share a comparison of one kind.")
        kept = CompareQuery.parse(QueryDict(query.url(codes=tuple(each.code for each in found)).removeprefix("?")))
        return Subject({"query": kept.url().removeprefix("?")})

    def experiments(self, link: ShareLink) -> list[Experiment]:
        return chosen(link.team, query_of(link))

    def about(self, link: ShareLink) -> About | None:
        found = self.experiments(link)
        if not found:
            return None
        address = reverse("compare", args=[link.team.code])
        return About(_title(found), f"{address}?{link.scope['query']}")

    def words(self, link: ShareLink, *, frozen: bool) -> Words:
        found = self.experiments(link)
        names = ", ".join(each.name for each in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        many = f"{len(found)} experiments" if len(found) > 1 else "1 experiment"
        return Words(
            [f"The comparison of {many}: {names}", "Their curves, key figures and settings side by side"],
            ["The pages of these experiments, their samples, files and logs", "Every other page of the team"],
        )

    def page(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        from webapp.experiments.compare.shared import shared_comparison

        return shared_comparison(request, visit)

    def freeze(self, link: ShareLink) -> Json:
        from webapp.experiments.compare.shared import freeze

        return freeze(link.team, query_of(link))


def query_of(link: ShareLink) -> CompareQuery:
    return CompareQuery.parse(QueryDict(str(link.scope.get("query", ""))))


def _title(found: list[Experiment]) -> str:
    rest = len(found) - 1
    return f"{found[0].name} and {rest} more, compared" if rest else found[0].name


def find_experiment(team: Team, code: object) -> Experiment:
    """The team's experiment that a scope names. Raises CannotShare."""
    try:
        return Experiment.objects.select_related("team", "owner").get(team=team, code=UUID(str(code)))
    except (ValueError, Experiment.DoesNotExist):
        raise CannotShare("There is no such experiment in this team.") from None
