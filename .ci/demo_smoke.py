"""Does `make demo` do what the README says? Runs it twice on an empty data folder and looks at what a person would see.

1. The demo prints one address; its experiment draws real samples and a coverage curve appears.
2. Stopped and started again, it keeps the data and goes on.
3. Killed with SIGKILL, it leaves no process behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, TypeVar

Seen = TypeVar("Seen")
DATA = tempfile.mkdtemp(prefix="canopy-demo-")
PORT = "8765"


def start() -> tuple[subprocess.Popen[str], str, dict[str, str]]:
    """Start the demo; return it with the address and the sign-in it printed."""
    demo = subprocess.Popen(
        ["make", "--no-print-directory", "demo"],
        env={**os.environ, "CANOPY_DATA": DATA, "CANOPY_PORT": PORT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    printed = ""
    for line in demo.stdout:
        print("   ", line, end="", flush=True)
        printed += line
        if found := re.search(r"(http://\S+).*?Sign in as (\S+) with the password (\S+)", printed, re.DOTALL):
            address, email, password = found.groups()
            return demo, address, {"username": email, "password": password}
    sys.exit("make demo ended without printing an address")


def wait_for(what: str, look: Callable[[], Seen], seconds: float, explain: Callable[[], object] = str) -> Seen:
    """Look once a second until something is seen; after ``seconds`` end with what ``explain`` says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if seen := look():
            print(f"    {what}: {seen}", flush=True)
            return seen
        time.sleep(1)
    sys.exit(f"not seen within {seconds} s: {what} {explain()}")


def signed_in(address: str, credentials: dict[str, str]) -> tuple[urllib.request.OpenerDirector, str]:
    """Sign in as a person would; return a browser-like opener and the experiment's own address."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    form = opener.open(address)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.read().decode())
    if not token:
        sys.exit(f"{address} led to {form.geturl()}, which is no sign-in page")
    fields = urllib.parse.urlencode({**credentials, "csrfmiddlewaretoken": token.group(1)}).encode()
    page = opener.open(form.geturl(), fields)
    found = re.search(r"/experiments/[0-9a-f-]{36}/", page.geturl() + page.read().decode())
    if not found:
        sys.exit(f"signing in led to {page.geturl()}, which shows no experiment")
    return opener, f"{address.split('/', 3)[0]}//{address.split('/', 3)[2]}{found.group()}"


def live(opener: urllib.request.OpenerDirector, experiment: str) -> dict[str, Any]:
    state: dict[str, Any] = json.load(opener.open(f"{experiment}live.json"))
    return state


def descendants(root: int) -> dict[int, str]:
    """The living processes below ``root`` and itself: process id -> command line."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(status.parent.name)] = int(parent)
    found = {root}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return {process: command(process) for process in found & parents.keys()}


def command(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    return ""


def main() -> None:
    demo, address, credentials = start()
    opener, experiment = signed_in(address, credentials)
    graded = wait_for("graded samples", lambda: live(opener, experiment)["kind"]["graded"], 400)
    wait_for("points on the coverage curve", lambda: live(opener, experiment)["kind"]["curve"]["k"], 60)

    os.killpg(demo.pid, signal.SIGINT)
    demo.wait(60)

    demo, address, credentials = start()
    opener, experiment = signed_in(address, credentials)
    again = live(opener, experiment)["kind"]["graded"]
    assert again >= graded, f"the second start lost samples: {again} after {graded}"
    wait_for("more graded samples after the restart", lambda: live(opener, experiment)["kind"]["graded"] > again, 400)

    processes = descendants(demo.pid)
    launcher = next(process for process, line in processes.items() if line.split()[1:] == ["manage.py", "demo"])
    os.kill(launcher, signal.SIGKILL)

    def left() -> list[str]:
        return [f"{process}: {line}" for process, line in processes.items() if line and command(process) == line]

    wait_for("processes gone after SIGKILL", lambda: not left() and len(processes), 60, left)


if __name__ == "__main__":
    main()
