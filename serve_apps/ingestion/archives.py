"""ZIP archives opened with distrust: names cleaned, links and encryption refused, what comes out counted.

Nothing is ever written under a name from the archive: those are only labels.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from serve_apps.args import IngestArgs
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, RaydioError

MAX_DIRECTORY_BYTES = 8 * 2**20
"""Of an archive's table of contents: reading one takes twenty times its size in memory."""
MAX_NAME_CHARACTERS = 300
MAX_RATIO = 500
"""What a file may unpack to, in its own packed size; text reaches 20, deflate cannot exceed 1032."""
RATIO_COUNTS_FROM_BYTES = 2**20
_PIECE_BYTES = 256 * 1024
_TAIL_BYTES = 2**16 + 22
"""Where the table of contents is announced: a comment of 64 KiB may follow."""
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""The others are rare, and LZMA's dictionary alone can take 4 GiB."""
_ENCRYPTED = 0x1


@dataclass(slots=True)
class Budget:
    """What all archives of one call together may still give."""

    n_files: int
    n_bytes: int

    @classmethod
    def of(cls, args: IngestArgs) -> Self:
        """What the limits allow."""
        return cls(n_files=args.max_files, n_bytes=args.max_unpacked_mb * 2**20)

    def spend_file(self) -> None:
        """Take one file from it; DocumentTooLarge where none is left."""
        if self.n_files <= 0:
            raise DocumentTooLarge("There are too many files.", "Add them in several parts.")
        self.n_files -= 1

    def spend_bytes(self, n_bytes: int) -> None:
        """Take unpacked bytes from it; DocumentTooLarge where too few are left."""
        self.n_bytes -= n_bytes
        if self.n_bytes < 0:
            raise DocumentTooLarge(
                "The archive unpacks to more than is allowed.", "Unpack it, and add parts of it."
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in an archive."""

    name: str
    """Cleaned, with the archive's name before it."""
    info: zipfile.ZipInfo = field(repr=False)


class Archive:
    """A ZIP file on this machine, open.

    Args:
        path: where it is.
        name: as its user knows it.

    Raises:
        DocumentUnreadable: not a ZIP file, or a broken one.
        DocumentTooLarge: a table of contents over MAX_DIRECTORY_BYTES.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        with path.open("rb") as file:
            _judge_directory(file)
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DocumentUnreadable("This ZIP archive is broken.", "Pack it again.") from error

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def entries(self) -> list[Entry]:
        """Its files, in order, without hidden ones, folders, links and a Mac's shadows."""
        return [
            Entry(f"{self._name}/{name}", info)
            for info in self._zip.infolist()
            if not info.is_dir()
            and _is_plain(info)
            and (name := clean_name(info.filename))
            and not is_hidden(name)
        ]

    def extract(self, entry: Entry, into: Path, budget: Budget, max_file_bytes: int) -> None:
        """Unpack one file.

        Raises:
            DocumentUnreadable: encrypted, broken, or packed in a way that is not opened here.
            DocumentTooLarge: over `max_file_bytes`, the budget, or MAX_RATIO.
        """
        _judge(entry.info, max_file_bytes)
        n_bytes = 0
        with into.open("wb") as file:
            for piece in self._pieces(entry):
                n_bytes += len(piece)
                budget.spend_bytes(len(piece))
                if n_bytes > max_file_bytes:
                    raise _too_large(max_file_bytes)
                file.write(piece)

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        try:
            with self._zip.open(entry.info) as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DocumentUnreadable("This file is broken in the archive.", "Pack it again.") from error


def is_archive(name: str) -> bool:
    """Whether a file of this name is opened as an archive; DOCX and its like are not."""
    return PurePosixPath(name).suffix.lower() == ".zip"


def clean_name(name: str) -> str:
    """A name as it may be shown and stored: no root, no drive, no way up, nothing unprintable.

    Empty when nothing is left of it.
    """
    parts = "".join(c if c.isprintable() else "" for c in name).replace("\\", "/").split("/")
    if parts and len(parts[0]) == 2 and parts[0][1] == ":":  # noqa: PLR2004 -- a drive, C:
        parts = parts[1:]
    cleaned = "/".join(part.strip() for part in parts if part.strip() not in ("", ".", ".."))
    return cleaned[-MAX_NAME_CHARACTERS:].lstrip("/")


def is_hidden(name: str) -> bool:
    """Whether it, or a folder that it is in, is one that people do not see."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")) or name.endswith(
        ("Thumbs.db", "desktop.ini")
    )


def _is_plain(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG)


def _judge(info: zipfile.ZipInfo, max_file_bytes: int) -> None:
    refused: RaydioError | None = None
    if info.flag_bits & _ENCRYPTED:
        refused = DocumentUnreadable(
            "This file is encrypted in the archive.", "Unpack it, and add it as it is."
        )
    elif info.compress_type not in _METHODS:
        refused = DocumentUnreadable("This file is packed in a rare way.", "Pack it as plain ZIP.")
    elif info.file_size > max_file_bytes:
        refused = _too_large(max_file_bytes)
    elif info.file_size > max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * info.compress_size):
        refused = DocumentTooLarge(
            "This file is a bomb: it unpacks to a multiple of its size.", "Leave it out."
        )
    if refused:
        raise refused


def _too_large(max_file_bytes: int) -> DocumentTooLarge:
    return DocumentTooLarge(f"This file is larger than {max_file_bytes >> 20} MiB.", "Use a smaller one.")


def _judge_directory(file: BinaryIO) -> None:
    """Look at the size of the table of contents before `zipfile` reads the whole of it.

    Every place where it might find an announcement is looked at, so that none can hide behind another.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    announced = [int.from_bytes(tail[at + 12 : at + 16], "little") for at in _places(tail, b"PK\5\6")]
    if not announced:
        raise DocumentUnreadable("This is not a ZIP archive, or a part of one.", "Pack it again.")
    for at in _places(tail, b"PK\6\7"):
        # An archive of the large format says it elsewhere, at most twice: where it is, and right before this.
        for place in (int.from_bytes(tail[at + 8 : at + 16], "little"), size - len(tail) + at - 56):
            if 0 <= place < size:
                file.seek(place)
                announced.append(int.from_bytes(file.read(48)[40:48], "little"))
    # What is longer than the file is no announcement, or one that `zipfile` refuses.
    if any(MAX_DIRECTORY_BYTES < n <= size for n in announced):
        raise DocumentTooLarge("The archive holds too many files.", "Add them in several parts.")


def _places(data: bytes, signature: bytes) -> Iterator[int]:
    at = data.find(signature)
    while at >= 0:
        yield at
        at = data.find(signature, at + 1)
