from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from webapp import env


def test_a_choice_is_one_of_them_or_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = ["confined", "isolated"]
    assert env.choice("CANOPY_SANDBOX_MINIMUM", "confined", choices) == "confined"
    monkeypatch.setenv("CANOPY_SANDBOX_MINIMUM", "Isolated")
    assert env.choice("CANOPY_SANDBOX_MINIMUM", "confined", choices) == "isolated"
    monkeypatch.setenv("CANOPY_SANDBOX_MINIMUM", "none")
    with pytest.raises(ImproperlyConfigured, match="must be one of confined, isolated"):
        env.choice("CANOPY_SANDBOX_MINIMUM", "confined", choices)
