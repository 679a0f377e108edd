from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from engine.detection.data.archive import ArchiveError, Limits, unpack


def make(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_it_unpacks_without_the_junk(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"d/a.txt": b"1", "__MACOSX/d/a.txt": b"2", "d/.DS_Store": b"3"})
    folder = unpack(archive, tmp_path / "out")
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*")] == ["d", "d/a.txt"]


@pytest.mark.parametrize("name", ["../up.txt", "/etc/passwd", "a/../../b", "c:/windows", "a\\..\\b"])
def test_nothing_leads_outside(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / "a.zip", {"fine.txt": b"1", name: b"2"})
    with pytest.raises(ArchiveError, match="leads out"):
        unpack(archive, tmp_path / "deep" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip", "deep"], "nothing is left"


def test_a_link_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(ArchiveError, match="is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_bomb_is_refused_while_it_unpacks(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"bomb": bytes(30 << 20)})
    assert archive.stat().st_size < 100_000
    with pytest.raises(ArchiveError, match="zip bomb"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_limits_count_what_is_written(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"a": b"x" * 600, "b": b"y" * 600})
    with pytest.raises(ArchiveError, match="more than is allowed"):
        unpack(archive, tmp_path / "out", Limits(bytes=1000))
    with pytest.raises(ArchiveError, match="holds 2 files"):
        unpack(archive, tmp_path / "out", Limits(files=1))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(ArchiveError, match="twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04" + b"\0" * 50])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match="not a zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_damage_is_noticed(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"a": bytes(range(256)) * 40})
    content = bytearray(archive.read_bytes())
    content[60] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(ArchiveError):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
