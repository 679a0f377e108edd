"""The ``canopy`` command as a process of its own against a real server: over HTTP, through a broker that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.announcer import announcer
from jobs.live import announce
from jobs.models import Experiment, next_seq
from tests.stack import Stack
from webapp.accounts.models import User
from webapp.api.models import ApiToken

ROOT = Path(__file__).parents[3]


@pytest.mark.faults
def test_watch_from_a_terminal_to_the_end(
    stack: Stack,
    make_experiment: Callable[..., Experiment],
    token_for: Callable[..., tuple[ApiToken, str]],
    vera: User,
) -> None:
    stack.start("web")
    experiment = make_experiment(status="running", n=4, c=1)
    text = token_for(vera, scope="read")[1]
    environment = os.environ | {"CANOPY_SERVER": stack.url, "CANOPY_TOKEN": text, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "webapp.client"]
    watching = subprocess.Popen(
        [*command, "watch", str(experiment.code), "--json"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["status"] == "running"

    _change(experiment, name="Renamed")
    assert json.loads(watching.stdout.readline())["name"] == "Renamed"

    stack.kill("broker")
    _change(experiment, name="While the broker was away")
    stack.start("broker")
    states = iter(watching.stdout.readline, "")
    assert next(state for line in states if (state := json.loads(line))["name"] == "While the broker was away")

    _change(experiment, status="finished")
    assert [json.loads(line)["status"] for line in watching.stdout][-1] == "finished"
    assert watching.wait(30) == 0

    files = subprocess.run(
        [*command, "pull", str(experiment.code), "coverage.csv", "--to", str(stack.folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "coverage.csv" in files.stdout
    assert len((stack.folder / "coverage.csv").read_text().splitlines()) == 5  # the head and k = 1 to 4

    stack.kill("broker")  # without it there is no news, but what is known is told
    again = subprocess.run([*command, "watch", str(experiment.code), "--json"], env=environment, timeout=60)
    assert again.returncode == 0
    stack.start("broker")


def _change(experiment: Experiment, **values: Any) -> None:
    next_seq(experiment.pk)
    Experiment.objects.filter(pk=experiment.pk).update(**values)
    announce(experiment.pk)
    announcer.settle(1)
