"""A file's pages and passages: what ingest asks for.

Files are read by a process of their own, which has limits and can be killed; see `confined`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import orjson

from serve_apps.args import IngestArgs
from serve_apps.documents import confined
from serve_apps.documents.cutting import embedded_text, fingerprint
from serve_apps.documents.kinds import HEAD_BYTES, kind_of
from serve_apps.documents.recordings import from_segments
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable
from serve_apps.wire import Segment
from serve_apps.wire_knowledge import DocumentKind, Page, Passage

__all__ = ["HEAD_BYTES", "ReadDocument", "embedded_text", "fingerprint", "from_transcript", "kind_of", "read"]

_ANSWER_FACTOR = 4
"""An answer's bytes for each of text: pages and passages both, as JSON."""
_ANSWER_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDocument:
    """A document as it was read: nothing of it is stored yet."""

    kind: DocumentKind
    media_type: str
    title: str
    """Its own, else its name without the extension."""
    pages: tuple[Page, ...]
    passages: tuple[Passage, ...]
    """In reading order; what the document says again is left out."""
    notes: tuple[str, ...] = ()
    """What a person should know: "3 of 10 pages hold pictures only, …"."""
    n_duplicates: int = 0
    """Passages that were left out."""


async def read(path: Path, name: str, args: IngestArgs) -> ReadDocument:
    """Read a file of any kind but recordings.

    Args:
        path: a regular file, no link.
        name: as the user knows it; its extension decides where the bytes do not.
        args: limits, and how long passages are.

    Raises:
        DocumentUnreadable: no known kind, protected, broken, or without text.
        DocumentTooLarge: over a limit: bytes, pages, text, unpacked size, time or memory.
        SetupError: a library is missing.
    """
    descriptor = _opened(path, args)
    try:
        return await _read(descriptor, name, args)
    finally:
        os.close(descriptor)


def from_transcript(name: str, segments: Sequence[Segment], args: IngestArgs) -> ReadDocument:
    """A recording's pages (ten minutes each) and passages, which carry their times.

    Raises:
        DocumentUnreadable: nobody speaks.
    """
    pages, passages = from_segments(segments, args.passage_characters)
    if not passages:
        raise DocumentUnreadable("Nobody speaks in the recording.", "Check that it is the right file.")
    return ReadDocument(
        kind="audio", media_type=_sound_type(name), title=Path(name).stem, pages=pages, passages=passages
    )


def _opened(path: Path, args: IngestArgs) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as wrong:
        raise DocumentUnreadable(
            "The file cannot be opened, or is a link.", "Add the file itself."
        ) from wrong
    facts = os.fstat(descriptor)
    if stat.S_ISREG(facts.st_mode) and 0 < facts.st_size <= args.max_file_mb * 2**20:
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise DocumentUnreadable("It is a folder or a device, not a file.", "Add the file itself.")
    if not facts.st_size:
        raise DocumentUnreadable("The file is empty.", "Check that it was saved.")
    raise DocumentTooLarge(
        f"The file has {facts.st_size / 2**20:.0f} MB; the limit is {args.max_file_mb} MB.",
        "Split it, or raise max_file_mb in ingest's configuration.",
    )


async def _read(descriptor: int, name: str, args: IngestArgs) -> ReadDocument:
    request = {
        "do": "read",
        "name": name.encode("utf-8", "replace").decode(),
        "limits": {
            "max_pages": args.max_pages,
            "max_text_bytes": args.max_text_mb * 2**20,
            "max_unpacked_bytes": args.max_unpacked_mb * 2**20,
            "passage_characters": args.passage_characters,
        },
    }
    lines = confined.answers(
        request,
        timeout_s=args.parse_timeout_s,
        memory_bytes=args.parse_memory_mb * 2**20,
        most_bytes=args.max_text_mb * 2**20 * _ANSWER_FACTOR + _ANSWER_BYTES,
        descriptor=descriptor,
    )
    pages: list[Page] = []
    passages: list[Passage] = []
    found: ReadDocument | None = None
    async with aclosing(lines):
        async for line in lines:
            what, facts = orjson.loads(line)
            if what == "page":
                pages.append(Page(**facts))
            elif what == "passage":
                passages.append(Passage(**facts | {"headings": tuple(facts["headings"])}))
            elif what == "failed":
                raise confined.failure(facts)
            else:
                notes = tuple(facts.pop("notes"))
                found = ReadDocument(**facts, notes=notes, pages=tuple(pages), passages=tuple(passages))
    if found is not None:
        return found
    raise DocumentUnreadable("Reading the file ended before its end.", "It may be damaged.")


def _sound_type(name: str) -> str:
    types = {"mp3": "mpeg", "m4a": "mp4", "oga": "ogg", "opus": "ogg", "weba": "webm", "aif": "aiff"}
    suffix = Path(name).suffix[1:].lower()
    return f"audio/{types.get(suffix, suffix or 'wav')}"
