"""ZIP archives with distrust: names, links, encryption, bombs, tables of contents that lie."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from serve_apps.args import IngestArgs
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable
from serve_apps.ingestion.archives import Archive, Budget, clean_name, is_archive, is_hidden

MIB = 2**20


def packed(folder: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def extracted(
    path: Path, into: Path, *, max_file_bytes: int = MIB, budget: Budget | None = None
) -> list[bytes]:
    archive, found = Archive(path, "a.zip"), []
    try:
        for entry in archive.entries():
            archive.extract(entry, into, budget or Budget(100, 10 * MIB), max_file_bytes)
            found.append(into.read_bytes())
    finally:
        archive.close()
    return found


def names(path: Path) -> list[str]:
    archive = Archive(path, "a.zip")
    archive.close()
    return [entry.name for entry in archive.entries()]


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.txt": b"one", "folder/b.txt": b"two", "empty/": b""})
    assert names(path) == ["a.zip/a.txt", "a.zip/folder/b.txt"]
    assert extracted(path, tmp_path / "out") == [b"one", b"two"]


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\..\\windows\\system.ini", "windows/system.ini"),
        ("C:\\secret.txt", "secret.txt"),
        ("C:/secret.txt", "secret.txt"),
        ("a/./b//c.txt", "a/b/c.txt"),
        ("tab\tnew\nline\0.txt", "tabnewline.txt"),
        ("\u202egnp.exe", "gnp.exe"),
        ("日本語/ß.md", "日本語/ß.md"),
        ("...", "..."),
        ("..", ""),
        ("/", ""),
        ("x" * 1000, "x" * 300),
    ],
)
def test_names_are_cleaned(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


def test_hidden_files_and_a_macs_shadows_are_left_out(tmp_path: Path) -> None:
    hidden = ["__MACOSX/._a.txt", ".DS_Store", ".git/config", "a/.hidden", "Thumbs.db"]
    assert all(map(is_hidden, hidden))
    path = packed(tmp_path, {**dict.fromkeys(hidden, b"x"), "seen.txt": b"x"})
    assert names(path) == ["a.zip/seen.txt"]


def test_links_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("file.txt", "x")
    assert names(path) == ["a.zip/file.txt"]


def test_encrypted_files_are_said(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.txt": b"secret"})
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(DocumentUnreadable, match="encrypted"):
        extracted(path, tmp_path / "out")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_rare_packing_is_said(tmp_path: Path, method: int) -> None:
    path = packed(tmp_path, {"a.txt": b"text"}, method)
    with pytest.raises(DocumentUnreadable, match="rare"):
        extracted(path, tmp_path / "out")


# ---- bombs -------------------------------------------------------------------------------------


def test_a_file_that_unpacks_to_a_multiple_of_its_size_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, {"zeros.txt": b"\0" * (20 * MIB)})
    with pytest.raises(DocumentTooLarge, match="bomb"):
        extracted(path, tmp_path / "out", max_file_bytes=100 * MIB)
    assert not (tmp_path / "out").exists()


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, {"long.txt": b"".join(b"%d " % n for n in range(300_000))})
    with pytest.raises(DocumentTooLarge, match="1 MiB"):
        extracted(path, tmp_path / "out")


def test_all_files_together_have_a_budget(tmp_path: Path) -> None:
    path = packed(tmp_path, {f"{n}.txt": bytes([65 + n]) * 1000 for n in range(10)})
    with pytest.raises(DocumentTooLarge, match="unpacks to more"):
        extracted(path, tmp_path / "out", budget=Budget(100, 5000))


def test_the_budget_counts_files() -> None:
    budget = Budget.of(IngestArgs(max_files=1))
    budget.spend_file()
    with pytest.raises(DocumentTooLarge):
        budget.spend_file()


def test_a_size_that_lies_gives_no_more_than_it_says(tmp_path: Path) -> None:
    """Both headers claim ten bytes: the rest is never unpacked."""
    path = packed(tmp_path, {"a.txt": b"x" * 5000})
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = data.index(signature) + at
        data[place : place + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(DocumentUnreadable, match="broken"):
        extracted(path, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= 10


def _end(n_entries: int, size: int, offset: int) -> bytes:
    return b"PK\5\6" + struct.pack("<4H2IH", 0, 0, n_entries, n_entries, size, offset, 0)


def test_a_huge_table_of_contents_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path, size = tmp_path / "a.zip", 20 * MIB
    with path.open("wb") as file:
        file.write(b"PK\1\2" + b"\0" * 42)
        file.truncate(size)
        file.seek(size)
        file.write(_end(1, size, 0))
    with pytest.raises(DocumentTooLarge, match="too many files"):
        Archive(path, "a.zip")


def test_so_is_one_of_the_large_format(tmp_path: Path) -> None:
    path, size = tmp_path / "a.zip", 20 * MIB
    end64 = b"PK\6\6" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, 1, 1, size, 0)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, size, 1)
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(end64 + locator + _end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
    with pytest.raises(DocumentTooLarge, match="too many files"):
        Archive(path, "a.zip")


# ---- broken ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\3\4" + b"\0" * 100, _end(5, 300, 0)])
def test_what_is_no_archive_is_said(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(DocumentUnreadable):
        Archive(path, "a.zip")


def test_an_archive_cut_short_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.txt": b"text" * 1000})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DocumentUnreadable):
        Archive(path, "a.zip")


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path, {"a.txt": bytes(range(256)) * 50})
    data = bytearray(path.read_bytes())
    data[60:80] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(DocumentUnreadable):
        extracted(path, tmp_path / "out")


def test_many_files_are_listed_quickly(tmp_path: Path) -> None:
    packing = io.BytesIO()
    with zipfile.ZipFile(packing, "w") as archive:
        for n in range(3000):
            archive.writestr(f"{n}.txt", b"")
    path = tmp_path / "a.zip"
    path.write_bytes(packing.getvalue())
    assert len(names(path)) == 3000


def test_only_zip_files_are_archives() -> None:
    assert is_archive("a/b.ZIP")
    assert not any(map(is_archive, ["a.docx", "a.epub", "a.zip.txt", "zip"]))
