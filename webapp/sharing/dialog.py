"""What the share dialog of a page offers. A page passes ``offer(...)`` as "share" to sharing/dialog.html."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from webapp.sharing.forms import LIFETIMES
from webapp.sharing.targets import get_target


@dataclass(frozen=True, slots=True)
class Thing:
    """One choice of the dialog."""

    target: str  # its name in webapp.sharing.targets
    title: str
    scope: dict[str, Any]
    samples_are: str = ""  # what may be left out, in words; empty: nothing

    @property
    def scope_json(self) -> str:
        return json.dumps(self.scope)

    @property
    def can_freeze(self) -> bool:
        target = get_target(self.target)
        return target is not None and target.can_freeze


def offer(*things: Thing) -> dict[str, Any]:
    """Everything on the page that can be shared, the page itself first."""
    return {"things": things, "lifetimes": LIFETIMES}
