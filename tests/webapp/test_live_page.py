"""The experiment page and live.json: what each visitor gets, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from jobs.kinds.sampling.models import ProblemSet
from jobs.models import Experiment, LogLine, Shard, ShardStatus, Status
from webapp.accounts.models import User
from webapp.sharing.models import ShareLink
from webapp.tokens import hash_token

Make = Callable[..., Experiment]
SignIn = Callable[[User], Client]
VENDOR = Path(__file__).parents[2] / "webapp/static/webapp/vendor"


def share(experiment: Experiment, token: str = "a-token", **fields: object) -> str:
    ShareLink.objects.create(experiment=experiment, token_prefix=token[:6], token_hash=hash_token(token), **fields)
    return token


def live(client: Client, experiment: Experiment, **query: object) -> dict[str, object]:
    answer = client.get(reverse("experiment-live", args=[experiment.code]), query)
    assert answer.status_code == 200
    return answer.json()


def test_after_gives_only_what_changed(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment(n=4, c=1, last_seq=9)
    experiment.problems.filter(index=2).update(seq=9)
    LogLine.objects.create(experiment=experiment, seq=3, text="early")
    LogLine.objects.create(experiment=experiment, seq=9, text="late")
    client = as_user(bob)

    whole, news = live(client, experiment), live(client, experiment, after=3)

    assert [line["text"] for line in whole["log"]] == ["early", "late"]
    assert [line["text"] for line in news["log"]] == ["late"]
    assert [row[0] for row in news["kind"]["problems"]] == [2]
    assert news["kind"]["curve"] == live(client, experiment)["kind"]["curve"]
    assert (news["after"], news["seq"]) == (3, 9)


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "²", "9" * 30])
def test_nonsense_after_is_refused(after: str, make_experiment: Make, bob: User, as_user: SignIn) -> None:
    answer = as_user(bob).get(reverse("experiment-live", args=[make_experiment().code]), {"after": after})
    assert answer.status_code == 400
    assert "whole number" in answer.json()["error"]


def test_an_unchanged_state_is_not_sent_again(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment(n=4, c=1)
    client, address = as_user(bob), reverse("experiment-live", args=[experiment.code])
    first = client.get(address)
    assert "private" in first["Cache-Control"]

    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 304
    experiment.problems.filter(index=0).update(c=3)
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_a_share_link_shows_results_and_not_the_machine(make_experiment: Make, client: Client) -> None:
    experiment = make_experiment(n=4, c=1, status=Status.FAILED, reason="/home/alice/model is missing")
    LogLine.objects.create(experiment=experiment, seq=1, text="on host birch-2")
    Shard.objects.create(
        experiment=experiment, stage="generate", stage_index=0, index=0, queue="gpu", status=ShardStatus.FAILED,
        worker="gpu@birch-2", log_tail="secret path",
    )  # fmt: skip
    token = share(experiment)

    state = client.get(reverse("shared-live", args=[token])).json()
    page = client.get(reverse("shared", args=[token])).content.decode()

    assert state["kind"]["curve"]["k"]
    assert (state["log"], state["failures"], state["workers"], state["reason"]) == ([], [], [], "")
    for secret in ("birch-2", "secret path", "/home/alice", "Alice", "Marsh lab", f"/experiments/{experiment.code}"):
        assert secret not in page


def test_a_share_link_has_no_log_and_no_samples_unless_it_says_so(make_experiment: Make, client: Client) -> None:
    experiment = make_experiment()
    token = share(experiment, include_samples=False)

    def status(tab: str) -> int:
        return client.get(reverse("shared-tab", args=[token, tab])).status_code

    assert (status("config"), status("files")) == (200, 200)
    assert (status("log"), status("samples"), status("overview"), status("nonsense")) == (404, 404, 404, 404)


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("tab", ["", "samples", "log", "config", "files"])
def test_every_tab_in_every_state(tab: str, status: str, make_experiment: Make, bob: User, as_user: SignIn) -> None:
    code = make_experiment(status=status).code
    address = reverse("experiment-tab", args=[code, tab]) if tab else reverse("experiment", args=[code])
    page = as_user(bob).get(address)
    assert page.status_code == 200
    assert not re.search(r"<[^>]*\sstyle=", page.content.decode()), (
        "the content security policy refuses style attributes"
    )


def test_actions_are_for_members(make_experiment: Make, bob: User, vera: User, as_user: SignIn) -> None:
    address = reverse("experiment", args=[make_experiment(status=Status.RUNNING).code])
    cancel = "/cancel/"
    assert cancel in as_user(bob).get(address).content.decode()
    assert cancel not in as_user(vera).get(address).content.decode()


def test_a_hostile_name_stays_text(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    name = "</script><script>alert(1)</script>"
    page = as_user(bob).get(reverse("experiment", args=[make_experiment(name=name).code])).content.decode()
    assert name not in page
    embedded = re.search(r'<script id="live-state" type="application/json">(.*?)</script>', page, re.S)
    assert embedded and json.loads(embedded[1])["name"] == name


def test_config_names_an_uploaded_problem_set(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment()
    made = ProblemSet.objects.create(team=experiment.team, name="Twenty of GSM8K", count=0, problems=[])
    experiment.spec["problems"] = f"set/{made.code}"
    experiment.save()
    page = as_user(bob).get(reverse("experiment-tab", args=[experiment.code, "config"])).content.decode()
    assert f"Twenty of GSM8K (set/{made.code})" in page
    made.delete()
    page = as_user(bob).get(reverse("experiment-tab", args=[experiment.code, "config"])).content.decode()
    assert "Twenty of GSM8K" not in page and str(made.code) in page


def test_config_uses_the_specs_own_words(make_experiment: Make, bob: User, as_user: SignIn) -> None:
    experiment = make_experiment(spec={"samples": 7, "system": "<b>Be brief</b>"})
    page = as_user(bob).get(reverse("experiment-tab", args=[experiment.code, "config"])).content.decode()
    assert "Samples per problem" in page
    assert "&lt;b&gt;Be brief&lt;/b&gt;" in page and "<b>Be brief</b>" not in page


def test_the_vendored_script_is_the_one_recorded() -> None:
    recorded = re.findall(r"^\| (\S+\.js) .*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.M)
    assert {name for name, _ in recorded} == {path.name for path in VENDOR.glob("*.js")}
    for name, checksum in recorded:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == checksum
