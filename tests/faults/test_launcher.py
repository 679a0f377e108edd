"""``manage.py serve`` and ``demo`` as processes: nothing orphaned, nothing twice, trouble in one sentence."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack import wait_for

pytestmark = pytest.mark.faults
ROOT = Path(__file__).resolve().parent.parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Launched:
    """A launcher and everything it has started so far."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.environment = environment
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = ""

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        while text not in self.output:
            line = self.process.stdout.readline()
            assert line, f"ended without {text!r}: {self.output}"
            self.output += line

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Launched]]:
    """``launch("serve", "--port", "1", CANOPY_DATA=...)``, on a data folder and a database of its own."""
    data = tmp_path_factory.mktemp("d")
    started: list[Launched] = []
    base = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "CANOPY_TEST_DB"}}

    def start(*arguments: str, **environment: str) -> Launched:
        command = [sys.executable, "manage.py", *arguments]
        started.append(Launched(command, {**base, "CANOPY_DATA": str(data), **environment}))
        return started[-1]

    yield start
    for launched in started:
        if launched.process.poll() is None:
            launched.process.terminate()
            launched.process.wait(60)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def names(processes: list[psutil.Process]) -> set[str]:
    patterns = {"web": "uvicorn", "gpu": "gpu@", "cpu": "cpu@", "reconciler": "reconcile", "broker": "valkey"}
    lines = [" ".join(process.cmdline()) for process in processes]
    return {name for name, pattern in patterns.items() if any(pattern in line for line in lines)}


def test_one_launcher_and_no_orphans(launch: Callable[..., Launched]) -> None:
    """A second launcher is refused, a killed child comes back, and a killed launcher leaves nothing behind."""
    port = free_port()
    first = launch("serve", "--port", str(port))
    first.read_until("Stop it with")
    assert f"Canopy is running: http://localhost:{port}" in first.output
    assert first.output.count("http") == 1
    assert names(first.family()) == {"web", "gpu", "cpu", "reconciler", "broker"}

    second = launch("serve", "--port", str(free_port()))
    assert second.process.wait(60) == 1
    second.read_until("Canopy already runs on the data folder")

    web = next(child for child in first.family() if "uvicorn" in child.cmdline())
    web.kill()
    first.read_until("web ended (killed by SIGKILL) and starts again")
    wait_for(lambda: "web" in names(alive(first.family())) and not alive([web]))

    family = first.family()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    wait_for(lambda: not alive(family), 40)


def test_the_demo_is_made_once_and_kept(launch: Callable[..., Launched]) -> None:
    outputs = []
    for _ in range(2):
        demo = launch("demo", "--port", str(free_port()))
        demo.read_until("Stop it with")
        outputs.append(demo.output)
        family = demo.family()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0
        assert not alive(family)
    hints = [re.search(r"Sign in as \S+@\S+ with the password \S+", output) for output in outputs]
    assert hints[0] and hints[1] and hints[0].group() == hints[1].group()
    data = Path(demo.environment["CANOPY_DATA"])
    assert (data / "demo-password").stat().st_mode & 0o777 == 0o600
    assert count_experiments(demo.environment) == 1


def count_experiments(environment: dict[str, str]) -> int:
    code = "from jobs.models import Experiment; print('count', Experiment.objects.count())"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return int(output.split("count")[1])


def test_trouble_is_one_sentence(launch: Callable[..., Launched]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        launched = launch("serve", "--port", port)
        assert launched.process.wait(60) == 1
    assert launched.process.stdout is not None
    output = launched.process.stdout.read()
    assert f"Port {port} on 127.0.0.1 cannot be used" in output and "--port" in output
    assert "Traceback" not in output
