"""The page for a new experiment: submit, errors, duplicates, estimates, uploads, and no 500 whatever is posted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import huggingface_hub
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import metrics
from jobs.kinds.sampling.models import ProblemSet, Sample
from jobs.kinds.sampling.spec import SamplingSpec
from jobs.models import Experiment, Worker
from webapp.accounts.models import Team, User
from webapp.experiments.forms import fields_of

SignIn = Callable[[User], Client]
MakeExperiment = Callable[..., Experiment]
FORM = {
    "name": "My run",
    "priority": "5",
    "model": SamplingSpec().model,
    "problems": "bundled/arithmetic-60",
    "limit": "4",
    "samples": "8",
    "temperature": "0.7",
    "top_p": "1",
    "top_k": "0",
    "min_p": "0",
    "max_tokens": "64",
    "stop": "\\n\\n\r\nQ:",
    "seed": "1",
    "chat": "on",
    "system": "",
    "template": "{question}",
    "few_shot-question": ["1 + 1?"],
    "few_shot-answer": ["2"],
    "verifier": "gsm8k",
}


@pytest.fixture
def url(team: Team) -> str:
    return reverse("experiment-new", args=[team.code, "sampling"])


def test_submitting_leads_to_the_live_page(as_user: SignIn, bob: User, url: str) -> None:
    response = as_user(bob).post(url, FORM)
    experiment = Experiment.objects.get()
    assert response.url == reverse("experiment", args=[experiment.code])
    assert (experiment.name, experiment.owner, experiment.priority) == ("My run", bob, 5)
    spec = SamplingSpec.model_validate(experiment.spec)
    assert (spec.limit, spec.samples, spec.stop, spec.chat) == (4, 8, ["\n\n", "Q:"], True)
    assert spec.few_shot[0].answer == "2"
    assert experiment.shards.count() > 0


def test_a_run_without_a_name_is_named_after_model_and_problems(as_user: SignIn, bob: User, url: str) -> None:
    as_user(bob).post(url, FORM | {"name": "  "})
    assert Experiment.objects.get().name.endswith(", arithmetic-60")


def test_errors_stand_beside_fields_and_values_stay(as_user: SignIn, bob: User, url: str) -> None:
    wrong = {"top_p": "1.2", "samples": "many", "template": "no place", "name": "n" * 121, "priority": "3"}
    response = as_user(bob).post(url, FORM | wrong)
    page = response.content.decode()
    assert response.status_code == 422
    assert not Experiment.objects.exists()
    for sentence in ("Must be between 0.01 and 1.", "Write a whole number.", "Write {question}", "at most 120"):
        assert sentence in page
    assert 'value="1.2"' in page and 'value="many"' in page and "no place" in page


def test_what_the_spec_cannot_know_is_checked_too(as_user: SignIn, bob: User, charlie: User, url: str) -> None:
    theirs = ProblemSet.objects.create(
        team=Team.objects.get(name="Elsewhere"), name="theirs", problems=[{"uid": "1"}], count=1
    )
    for change in ({"problems": f"set/{theirs.code}"}, {"model": "/etc"}, {"model": "no such model"}):
        response = as_user(bob).post(url, FORM | change)
        assert response.status_code == 422
        assert f'id="id_{next(iter(change))}_error">' in response.content.decode()


def test_duplicate_starts_from_an_earlier_run(
    as_user: SignIn, bob: User, url: str, make_experiment: MakeExperiment
) -> None:
    earlier = make_experiment(name="Earlier", spec={"samples": 77, "stop": ["\n\n"]})
    page = as_user(bob).get(f"{url}?from={earlier.code}").content.decode()
    assert 'value="77"' in page and 'value="Earlier (copy)"' in page and "\\n\\n</textarea>" in page


def test_duplicate_of_another_teams_run_is_not_found(
    as_user: SignIn, bob: User, charlie: User, url: str, make_experiment: MakeExperiment
) -> None:
    theirs = make_experiment(team=Team.objects.get(name="Elsewhere"), owner=charlie)
    assert as_user(bob).get(f"{url}?from={theirs.code}").status_code == 404
    assert as_user(bob).get(f"{url}?from=nonsense").status_code == 404


def test_an_unknown_kind_is_not_found(as_user: SignIn, bob: User, team: Team) -> None:
    assert as_user(bob).get(reverse("experiment-new", args=[team.code, "alchemy"])).status_code == 404


def test_every_field_has_a_label_help_and_a_place_for_its_error(as_user: SignIn, bob: User, url: str) -> None:
    page = as_user(bob).get(url).content.decode()
    for field in fields_of(SamplingSpec):
        assert field.title.replace("'", "&#x27;") in page
        assert f'id="id_{field.name}"' in page and f'id="id_{field.name}_error"' in page
    assert 'min="0.01" max="1"' in page  # bounds come from the Spec


# --- estimate


def estimate(client: Client, url: str, **change: Any) -> Any:
    return client.post(f"{url}estimate/", FORM | change).json()


def test_estimate_says_what_is_not_known(as_user: SignIn, vera: User, url: str) -> None:
    told = estimate(as_user(vera), url)
    rows = {label: (value, known) for label, value, known in told["rows"]}
    assert (rows["Problems"], rows["Samples"]) == (("4", ""), ("32", ""))
    assert rows["Run time"] == ("not known yet", "")
    assert rows["Tokens drawn"] == ("at most 2.05k", "upper bound")  # 32 samples of 64 tokens
    assert rows["Answers at once"] == ("no GPU worker is running", "")
    # SmolLM2-135M: 30 layers with 3 KV heads of 64, two bytes each, keys and values.
    assert rows["Keys and values"] == ("23 kB a token", "from the model's sizes")
    assert "has not run here yet" in told["note"]


def test_estimate_uses_what_earlier_runs_measured(
    as_user: SignIn, bob: User, url: str, make_experiment: MakeExperiment
) -> None:
    earlier = make_experiment(problems=1, spec={"max_tokens": 64})
    reports = [metrics.Report({"tokens_per_second": speed}, 2.0, 1_000_000.0) for speed in (90, 110)]
    metrics.write(earlier.pk, 1, reports)  # two workers: one has drawn 100 a second
    problem = earlier.problems.get()
    for i, tokens in enumerate((20, 44)):
        Sample.objects.create(
            experiment=earlier, problem=problem, index=i, seed=i, tokens=tokens, logprob=-1, finish="eos"
        )
    told = estimate(as_user(bob), url)
    rows = {label: (value, known) for label, value, known in told["rows"]}
    assert rows["Tokens drawn"] == ("about 1.02k", "measured")  # 32 samples of 32 tokens
    # 1,024 tokens and some of the prompts at 100 a second
    assert rows["Run time"] == ("about 10 s", "on one worker, at that speed")
    assert rows["Speed"] == ("100 tokens a second", "measured, of one worker")
    assert "your team's 1 earlier run" in told["note"]


@pytest.mark.parametrize(
    ("change", "is_hinted"),
    [
        ({}, True),
        ({"chat": "on"}, False),
        ({"model": "Qwen/Qwen3-0.6B-Base"}, False),
        ({"model": "google/gemma-3-1b-it"}, True),
        ({"verifier": "gsm8k"}, False),
    ],
)
def test_a_chat_model_with_a_prompt_to_be_continued_gets_a_hint(
    as_user: SignIn, bob: User, url: str, team: Team, change: dict[str, str], is_hinted: bool
) -> None:
    checks = {"entry_point": "f", "asserts": "assert f() == 1"}
    problems = [{"uid": "a", "question": "def f():", "answer": "", "checks": checks}]
    made = ProblemSet.objects.create(team=team, name="functions", problems=problems, count=1)
    form = {"problems": f"set/{made.code}", "verifier": "code-function"} | change
    values = {name: value for name, value in (FORM | form).items() if name != "chat" or "chat" in change}
    if form["verifier"] == "gsm8k":
        values["problems"] = "bundled/arithmetic-60"
    told = as_user(bob).post(f"{url}estimate/", values).json()
    assert told["errors"] == {} and ("prose" in told["note"]) == is_hinted


def test_fields_of_one_verifier_say_so(as_user: SignIn, bob: User, url: str) -> None:
    text = as_user(bob).get(url).content.decode()
    assert 'data-field="grade_repeats" data-only="verifier" data-only-with="patch"' in text
    assert 'data-field="grade_target" data-only="verifier" data-only-with="endpoint function"' in text
    assert text.count("data-only=") == 2


def test_estimate_of_a_wrong_form_says_where(as_user: SignIn, bob: User, url: str) -> None:
    told = estimate(as_user(bob), url, top_p="2", problems="bundled/none")
    assert set(told["errors"]) == {"top_p", "problems"}
    assert told["rows"] == []


def test_estimate_never_waits_for_a_download(
    as_user: SignIn, bob: User, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a page asked the network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    told = estimate(as_user(bob), url, model="some-lab/some-model")
    assert ["Memory", "not known yet", ""] in told["rows"]


def gpu_worker(name: str, device: str, memory: float) -> None:
    told = {"name": device, "is_gpu": True, "memory_used": 0, "memory_total": int(memory)}
    told |= {"utilisation": None, "temperature": None}
    Worker.objects.create(name=name, queue="gpu", host="birch", device=device, pid=1, processors=[told])


def test_estimate_says_what_fits_on_the_workers_that_are_there(as_user: SignIn, bob: User, url: str) -> None:
    gpu_worker("gpu0@birch", "NVIDIA H200", 150e9)
    gpu_worker("gpu1@birch", "NVIDIA H200", 150e9)
    gpu_worker("gpu0@old", "Small card", 6e9)
    Worker.objects.create(name="gpu@silent", queue="gpu", host="h", device="CPU", pid=1, processors=[])

    def fits(**change: str) -> dict[str, str]:
        rows = estimate(as_user(bob), url, **change)["rows"]
        return {known: value for label, value, known in rows if label == "Answers at once"}

    # 4 problems of 8 samples are one call of the engine: 32 answers of 64 tokens beside 269 MB of weights.
    assert fits() == {"on NVIDIA H200": "32, in 317 MB of 150.0 GB", "on Small card": "32, in 317 MB of 6.0 GB"}
    # Answers of 32,768 tokens need 755 MB each.
    told = fits(samples="1000", max_tokens="32768")
    large, small = (int(told[device].split(",")[0]) for device in ("on NVIDIA H200", "on Small card"))
    assert 100 < large < 150e9 / 755e6 and 2 <= small < 6e9 / 755e6
    Worker.objects.all().delete()
    gpu_worker("gpu0@old", "Tiny", 275e6)
    assert fits(max_tokens="32768") == {"on Tiny": "none fits in its 275 MB"}
    Worker.objects.update(processors=[{"name": "Tiny", "is_gpu": True, "memory_total": 1000}])
    assert fits() == {"on Tiny": "none: the weights are larger than its 1 kB"}


# --- problem sets


def upload(client: Client, team: Team, content: bytes, name: str = "") -> Any:
    return client.post(
        reverse("problem-set-upload", args=[team.code]),
        {"file": SimpleUploadedFile("mine.jsonl", content), "name": name},
        headers={"Accept": "application/json"},
    )


GOOD = b'{"question": "1 + 1?", "answer": "2"}\n{"question": "2 + 2?", "answer": "4"}\n'


def test_an_uploaded_set_can_be_chosen_and_run(as_user: SignIn, bob: User, team: Team, url: str) -> None:
    client = as_user(bob)
    answer = upload(client, team, GOOD)
    made = ProblemSet.objects.get()
    assert answer.json() == {"value": f"set/{made.code}", "label": "mine, 2 problems"}
    assert "mine, 2 problems" in client.get(url).content.decode()
    client.post(url, FORM | {"problems": answer.json()["value"], "name": ""})
    experiment = Experiment.objects.get()
    assert experiment.name.endswith(", mine")
    assert list(experiment.problems.order_by("index").values_list("answer", flat=True)) == ["2", "4"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"question": "a", "answer": "1"}\n{"question": 3}\n', "Line 2"),
        (b'{"question": "a", "answer": "1"}\nnot json\n', "Line 2"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "Choose a file"),
    ],
)
def test_a_wrong_file_is_refused_with_its_first_bad_line(
    as_user: SignIn, bob: User, team: Team, content: bytes, sentence: str
) -> None:
    answer = upload(as_user(bob), team, content)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"] or (not content and "no problems" in answer.json()["error"])
    assert not ProblemSet.objects.exists()


def test_a_set_needs_a_name_of_its_own(as_user: SignIn, bob: User, team: Team) -> None:
    client = as_user(bob)
    upload(client, team, GOOD)
    assert "already" in upload(client, team, GOOD).json()["error"]
    assert upload(client, team, GOOD, name="second").status_code == 201


# --- anything at all

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.one_of(st.integers().map(str), st.floats().map(str), st.just("1e999"), st.just("٣"))


def values(field: Any) -> st.SearchStrategy[Any]:
    """Right values, nearly right ones, and nonsense."""
    bounds = [str(bound) for bound in (field.minimum, field.maximum) if bound is not None]
    choices = [value for value, _ in field.choices]
    return st.one_of(TEXTS, NUMBERS, st.sampled_from([*bounds, *choices, FORM.get(field.name, "")]))


POSTED = st.fixed_dictionaries(
    {"name": TEXTS, "priority": st.one_of(st.just("5"), TEXTS)},
    optional={field.name: values(field) for field in fields_of(SamplingSpec)}
    | {"few_shot-question": st.lists(TEXTS, max_size=4), "few_shot-answer": st.lists(TEXTS, max_size=4)},
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "samples": st.integers(1, 40).map(str),
        "limit": st.integers(1, 70).map(str),
        "temperature": st.floats(0, 2).map(str),
        "top_p": st.floats(0.01, 1).map(str),
        "top_k": st.integers(0, 100_000).map(str),
        "min_p": st.floats(0, 0.99).map(str),
        "max_tokens": st.integers(1, 32_768).map(str),
        "seed": st.integers(0, 2**53 - 1).map(str),
        "system": TEXTS,
        "template": TEXTS.map(lambda text: text + "{question}"),
        "stop": TEXTS,
        "verifier": st.sampled_from(["gsm8k", "math-verify"]),
    },
).map(lambda change: FORM | change)


@pytest.mark.parametrize(("forms", "tries"), [(POSTED, 700), (SPECS, 300)], ids=["anything", "mostly right"])
def test_no_form_gives_a_500(as_user: SignIn, bob: User, url: str, forms: st.SearchStrategy[Any], tries: int) -> None:
    """The client raises whatever a view raises, so an uncaught error fails here with its own traceback."""
    client = as_user(bob)

    @settings(
        max_examples=tries,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(form=forms)
    def post(form: dict[str, Any]) -> None:
        status = client.post(url, form).status_code
        assert status in {302, 422}
        if status == 302:
            newest = Experiment.objects.latest("pk")
            SamplingSpec.model_validate(newest.spec)
            newest.delete()

    post()
