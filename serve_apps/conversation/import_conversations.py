"""Files of conversations to import: which of the known formats it is, and what it holds.

Raydio's own JSON, ChatGPT's `conversations.json` (also in the ZIP that it comes in), Open WebUI's export.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import orjson

from serve_apps.conversation.file import FORMAT, VERSION, Readable, from_json
from serve_apps.conversation.import_chatgpt import from_chatgpt
from serve_apps.conversation.import_openwebui import from_openwebui
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable

MOST_BYTES = 200 * 2**20
"""Of JSON, unpacked."""
MOST_RATIO = 200
"""How much smaller a ZIP may have made it; conversations get about ten times smaller."""
MOST_FILES = 20_000
"""In a ZIP; exports hold pictures, too."""
ACCEPTED = (
    "Accepted are Raydio's own JSON, ChatGPT's conversations.json or the ZIP it comes in, "
    "and Open WebUI's export of chats."
)


def read(data: bytes) -> Readable:
    """What a file holds.

    Raises:
        DocumentUnreadable: it is of no known format.
        DocumentTooLarge: over a limit.
    """
    if data[:4] == b"PK\x03\x04":
        data = _unzipped(data)
    if len(data) > MOST_BYTES:
        raise _too_large()
    try:
        return _read(orjson.loads(data.removeprefix(b"\xef\xbb\xbf")))
    except orjson.JSONDecodeError as error:
        raise DocumentUnreadable("The file is not JSON.", ACCEPTED) from error


def _read(file: Any) -> Readable:
    if isinstance(file, dict) and file.get("format") == FORMAT:
        if not isinstance(file.get("version"), int) or file["version"] > VERSION:
            raise DocumentUnreadable(
                "The file was made by a newer Raydio.", "Export it there again, or upgrade this one."
            )
        return from_json(file)
    entries = file if isinstance(file, list) else [file]
    objects = [entry for entry in entries if isinstance(entry, dict)]
    if any(isinstance(entry.get("mapping"), dict) for entry in objects):
        return from_chatgpt(entries)
    if any(isinstance(entry.get("chat"), dict) for entry in objects):
        return from_openwebui(entries)
    raise DocumentUnreadable("The file holds no conversations.", ACCEPTED)


def _unzipped(data: bytes) -> bytes:
    """The file of conversations in a ZIP."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _member(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise DocumentUnreadable("The ZIP is broken or encrypted.", ACCEPTED) from error


def _member(archive: zipfile.ZipFile) -> bytes:
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise _too_large()
    named = [info for info in infos if info.filename.rpartition("/")[2] == "conversations.json"]
    others = [info for info in infos if info.filename.endswith(".json")]
    chosen = named or (others if len(others) == 1 else [])
    if not chosen:
        raise DocumentUnreadable("The ZIP holds no conversations.json.", ACCEPTED)
    with archive.open(chosen[0]) as member:
        # What the directory says of sizes may be a lie: what comes out is counted.
        limit = min(MOST_BYTES, MOST_RATIO * max(1, chosen[0].compress_size))
        data = member.read(limit + 1)
    if len(data) > limit:
        raise _too_large()
    return data


def _too_large() -> DocumentTooLarge:
    return DocumentTooLarge(
        f"The file unpacks to more than {MOST_BYTES // 2**20} MiB, or far more than it should.",
        "Split it, or import fewer conversations.",
    )
