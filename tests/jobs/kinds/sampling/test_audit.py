from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from jobs.kinds.sampling.models import Problem
from jobs.models import Artifact, Experiment, LogLine

pytestmark = pytest.mark.django_db


def audit(*arguments: str) -> str:
    out = StringIO()
    call_command("audit", *arguments, stdout=out)
    return out.getvalue()


def test_an_experiments_audit_is_kept_with_it(make_experiment: Callable[..., Experiment]) -> None:
    experiment = make_experiment(problems=3, spec={"verifier": "gsm8k"})
    Problem.objects.filter(experiment=experiment, index=1).update(answer="n o")  # "#### n o" has no number
    said = audit(str(experiment.code), "--repeats", "2")
    assert "p1: false negative. The right answer is called wrong: No answer of the form" in said
    assert "of 3 problems 3 have a known answer, each graded 2 times; 1 reject a right answer" in said
    artifact = Artifact.objects.get(experiment=experiment, name="audit.csv")
    lines = artifact.file.read().decode().splitlines()
    assert lines[0].startswith("problem,right_correct")
    assert lines[1:3] == [
        "p0,2,0,0,0,,",
        'p1,0,2,0,0,false negative,"The right answer is called wrong: No answer of the form ""#### 42""."',
    ]
    line = LogLine.objects.get(experiment=experiment)
    assert (line.level, line.text.startswith("Audit of gsm8k")) == ("warning", True)


def test_a_second_audit_replaces_the_first(
    make_experiment: Callable[..., Experiment], django_capture_on_commit_callbacks: Callable[..., object]
) -> None:
    experiment = make_experiment(problems=1, spec={"verifier": "gsm8k"})
    audit(str(experiment.code))
    first = Artifact.objects.get(experiment=experiment).file.name
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        audit(str(experiment.code), "--verifier", "math-verify")
    second = Artifact.objects.get(experiment=experiment).file.name
    assert first != second
    assert not default_storage.exists(str(first))


def test_a_file_is_audited_without_an_experiment(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text(json.dumps({"question": "q", "answer": "4"}))
    assert "0 reject a right answer" in audit(str(file), "--verifier", "gsm8k", "--repeats", "1")
    file.write_text("{}")
    with pytest.raises(CommandError, match="Line 1"):
        audit(str(file))


def test_what_is_neither_is_named() -> None:
    with pytest.raises(CommandError, match="neither a file nor"):
        audit("nothing")
    with pytest.raises(CommandError, match="at least 1"):
        audit("nothing", "--repeats", "0")
