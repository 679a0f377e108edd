"""Where ``canopy login`` keeps the server and the token: one file that only its owner can read.

CANOPY_SERVER and CANOPY_TOKEN take its place, for machines that run without anybody.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


class NotLoggedIn(Exception):
    """There is no server and token to use."""


@dataclass(frozen=True, slots=True)
class Login:
    server: str
    token: str


def path() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "canopy" / "login.json"


def load() -> Login:
    """From the environment, else from the file; raises NotLoggedIn."""
    server, token = os.environ.get("CANOPY_SERVER", ""), os.environ.get("CANOPY_TOKEN", "")
    if server and token:
        return Login(server, token)
    try:
        kept = Login(**json.loads(path().read_text()))
    except FileNotFoundError:
        raise NotLoggedIn("Run canopy login first, or set CANOPY_SERVER and CANOPY_TOKEN.") from None
    except (OSError, ValueError, TypeError):
        raise NotLoggedIn(f"{path()} cannot be read. Run canopy login again.") from None
    return Login(server or kept.server, token or kept.token)


def save(login: Login) -> None:
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    # Made with its mode: at no moment can anybody else read the token.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(asdict(login), out)
    draft.replace(file)


def forget() -> bool:
    """Remove the file; False when there was none."""
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    return True
