"""The demo: a team, a person to sign in as, and the demo experiment, each made once."""

from __future__ import annotations

import secrets
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from jobs import services
from jobs.kinds import get_kind
from jobs.kinds.sampling.presets import get_preset
from jobs.models import Experiment
from webapp.accounts.models import Membership, Role, Team, User

EMAIL = "demo@canopy.example"


def password_file() -> Path:
    return settings.DATA_DIR / "demo-password"


def demo_password() -> str:
    """Made once and kept in a file that only its owner reads."""
    path = password_file()
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(9))
    return path.read_text().strip()


@transaction.atomic
def prepare() -> None:
    """Make what is not there yet. What people did with the demo since then stays."""
    user = User.objects.filter(email=EMAIL).first()
    if user is None:
        user = User.objects.create_user(EMAIL, "Demo Person", demo_password())
        team = Team.objects.create(name="Demo team")
        Membership.objects.create(team=team, user=user, role=Role.OWNER)
        submit(team, user)


def submit(team: Team, user: User) -> Experiment:
    preset = get_preset("demo")
    spec = get_kind("sampling").Spec.model_validate(preset.values)
    return services.submit(team=team, owner=user, kind="sampling", name="Coverage of a small model", spec=spec)


def experiment_path() -> str:
    """The demo person's oldest experiment; empty once there is none any more."""
    experiment = Experiment.objects.filter(owner__email=EMAIL).order_by("created_at").first()
    return reverse("experiment", args=[experiment.code]) if experiment else ""


def sign_in_hint() -> str:
    user = User.objects.get(email=EMAIL)
    known = user.check_password(demo_password())
    return f"Sign in as {EMAIL} with the password {demo_password() if known else 'you chose'}"
