"""Files in a bucket instead of a folder, against an S3 server of its own process that checks signatures."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from asgiref.sync import async_to_sync
from botocore.config import Config
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import call_command
from django.test import Client

from jobs import services
from jobs.models import Artifact, Experiment, Status
from webapp.accounts.models import User
from webapp.operations.backup import restore_backup, write_backup
from webapp.settings import _storage

KEY, SECRET = "canopy-test", "a secret that signs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address, with an empty bucket ``canopy``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("s3")
    process = subprocess.Popen(
        [sys.executable, "-m", "nanio", "serve", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _client(address, process).create_bucket(Bucket="canopy")
        yield address
    finally:
        process.kill()
        process.wait()


def _client(address: str, process: subprocess.Popen[bytes]) -> Any:
    deadline = time.monotonic() + 60
    host, port = address.removeprefix("http://").split(":")
    while time.monotonic() < deadline:
        assert process.poll() is None, "the S3 server ended"
        try:
            socket.create_connection((host, int(port)), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    config = Config(s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=config,
    )


@pytest.fixture
def bucket(server: str, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The installation's files are in the bucket, below a folder of this test's own."""
    names = {"URL": server, "BUCKET": "canopy", "REGION": "us-east-1", "KEY": KEY, "SECRET": SECRET}
    for name, value in (names | {"PREFIX": tmp_path.name}).items():
        monkeypatch.setenv(f"CANOPY_S3_{name}", value)
    settings.STORAGES = {**settings.STORAGES, "default": _storage()}
    assert type(storages["default"]).__name__ == "S3Storage"


@pytest.fixture
def artifact(bucket: None, make_experiment: Callable[..., Experiment]) -> Artifact:
    made = Artifact(
        experiment=make_experiment(status=Status.FINISHED), name="a b.bin", content_type="x/y", size=300_000
    )
    made.file.save("a b.bin", ContentFile(bytes(range(256)) * 1_200))
    return made


def test_a_page_sends_what_was_stored(artifact: Artifact, alice: User, as_user: Callable[[User], Client]) -> None:
    page: Any = as_user(alice).get(f"/experiments/{artifact.experiment.code}/artifacts/{artifact.code}")

    async def read() -> bytes:
        return b"".join([piece async for piece in page.streaming_content])

    sent = async_to_sync(read)()
    assert page.status_code == 200
    assert sent == bytes(range(256)) * 1_200
    assert "canopy-test" not in str(page.headers)  # sent through Canopy: nobody gets an address of the bucket


@pytest.mark.django_db(transaction=True)
def test_files_go_with_their_experiment(artifact: Artifact) -> None:
    name = artifact.file.name
    assert default_storage.exists(name)
    services.delete(experiment=artifact.experiment)
    assert not default_storage.exists(name)


def test_names_do_not_overwrite_each_other(bucket: None) -> None:
    first, second = (default_storage.save("same", ContentFile(text)) for text in ("1", "2"))
    assert first != second
    assert default_storage.open(first).read() == b"1"


@pytest.mark.usefixtures("broker")
def test_readiness_needs_the_bucket(bucket: None, client: Client, db: None, settings: Any) -> None:
    assert client.get("/readyz").json()["parts"]["storage"] == "ok"
    options = {**settings.STORAGES["default"]["OPTIONS"], "secret_key": "wrong"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["storage"].startswith("does not answer")


@pytest.mark.django_db(transaction=True)
def test_a_backup_of_a_bucket_restores_into_a_folder(artifact: Artifact, settings: Any, tmp_path: Path) -> None:
    name = artifact.file.name
    assert write_backup(tmp_path / "b.tar").files == 1
    Experiment.objects.all().delete()
    call_command("flush", interactive=False, verbosity=0)
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    }
    settings.MEDIA_ROOT = tmp_path / "folder"
    restore_backup(tmp_path / "b.tar")
    assert (tmp_path / "folder" / name).read_bytes() == bytes(range(256)) * 1_200


def test_the_bucket_is_made_once(bucket: None, settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "bucket_name": "another"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    call_command("make_bucket")
    assert "is made" in capsys.readouterr().out
    call_command("make_bucket")
    assert "is there" in capsys.readouterr().out
    assert default_storage.save("x", ContentFile(b"x")) == "x"
