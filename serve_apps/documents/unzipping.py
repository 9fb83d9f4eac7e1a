"""Files that are ZIP archives (DOCX, PPTX, XLSX, EPUB): opened only if what they unpack to is bounded."""

from __future__ import annotations

import zipfile
from typing import BinaryIO

from serve_apps.documents.structure import Book
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable

_MOST_MEMBERS = 20_000
_ENCRYPTED = 0x1
_MARKUP = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx", ".vml")
_MOST_XML_BYTES = 200 * 2**20
_LOOK_BYTES = 64 * 1024


def unzipped(file: BinaryIO, book: Book) -> zipfile.ZipFile:
    """Open an archive whose members, as it declares them, are within the limits; no member gives out more.

    Raises:
        DocumentTooLarge: it unpacks to too much.
        DocumentUnreadable: no archive, damaged, encrypted, or with XML that defines entities.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError) as wrong:
        raise DocumentUnreadable(
            "The document is damaged or cut short.",
            "Open it in its own program, save it again, and add that.",
        ) from wrong
    members = archive.infolist()
    markup = sum(member.file_size for member in members if member.filename.lower().endswith(_MARKUP))
    total = sum(member.file_size for member in members)
    limit = book.limits.max_unpacked_bytes
    if total > limit or len(members) > _MOST_MEMBERS or markup > min(limit, _MOST_XML_BYTES):
        raise DocumentTooLarge(
            f"The document unpacks to {total / 2**20:.0f} MB in {len(members)} parts, which is too much.",
            "Split it, or raise max_unpacked_mb in ingest's configuration.",
        )
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise DocumentUnreadable(
            "The document is protected by a password.", "Remove the password and add it again."
        )
    _refuse_entities(archive, members)
    return archive


def _refuse_entities(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    """No document program writes entities into its files; who does wants them expanded."""
    for member in members:
        if member.filename.lower().endswith(_MARKUP):
            with archive.open(member) as part:
                if b"<!ENTITY" in part.read(_LOOK_BYTES).replace(b"\x00", b"").upper():
                    raise DocumentUnreadable(
                        "The document defines XML entities, as no document program does.",
                        "It may be made to do harm.",
                    )
