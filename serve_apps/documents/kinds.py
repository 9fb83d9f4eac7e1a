"""What kind of document a file is: by its first bytes, then by its name."""

from __future__ import annotations

import re
from pathlib import PurePath

from serve_apps.errors import DocumentUnreadable
from serve_apps.wire_knowledge import DocumentKind

HEAD_BYTES = 4096
"""What `kind_of` needs to see of a file."""

READABLE = "PDF, DOCX, PPTX, XLSX, HTML, EPUB, Markdown, text, code, CSV and recordings are read."

MEDIA_TYPES: dict[DocumentKind, str] = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "epub": "application/epub+zip",
    "markdown": "text/markdown",
    "text": "text/plain",
    "code": "text/plain",
    "csv": "text/csv",
    "audio": "application/octet-stream",
}

_EXTENSIONS: dict[DocumentKind, str] = {
    "pdf": "pdf",
    "docx": "docx docm dotx",
    "pptx": "pptx pptm ppsx potx",
    "xlsx": "xlsx xlsm xltx",
    "html": "html htm xhtml",
    "epub": "epub",
    "markdown": "md markdown mdown mkd mdx qmd rmd",
    "text": "txt text log rst adoc asciidoc tex org srt vtt nfo",
    "csv": "csv tsv tab",
    "audio": "wav mp3 ogg oga opus flac m4a aac webm weba mp4 m4v mov mkv wma aiff aif amr",
    "code": (
        "py pyi ipynb js mjs cjs jsx ts tsx java kt kts scala groovy c h cc cpp cxx hpp hh cs fs vb go rs "
        "swift m mm rb php pl pm lua r jl hs erl ex exs clj lisp el scm ml mli nim zig d dart pas f90 asm s "
        "sql sh bash zsh fish ps1 bat cmd awk css scss sass less vue svelte json jsonl ndjson yaml yml toml "
        "ini cfg conf env properties xml xsl svg proto graphql tf hcl cmake mk makefile dockerfile gradle "
        "nix bzl diff patch"
    ),
}
_KINDS: dict[str, DocumentKind] = {
    extension: kind for kind, extensions in _EXTENSIONS.items() for extension in extensions.split()
}
_OFFICE: dict[DocumentKind, bytes] = {"docx": b"word/", "pptx": b"ppt/", "xlsx": b"xl/"}
_OLD_OFFICE = {"doc": "DOCX", "xls": "XLSX", "ppt": "PPTX", "dot": "DOCX", "pps": "PPTX", "msg": "PDF"}

_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SOUNDS = (
    b"OggS",
    b"fLaC",
    b"ID3",
    b"\xff\xfb",
    b"\xff\xf3",
    b"\xff\xf2",
    b"\xff\xf1",
    b"\x1aE\xdf\xa3",
    b"FORM",
)
_FOREIGN = {
    b"MZ": "a program",
    b"\x7fELF": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"\xcf\xfa\xed\xfe": "a program",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"II*\x00": "a picture",
    b"MM\x00*": "a picture",
    b"\x1f\x8b": "a compressed file",
    b"BZh": "a compressed file",
    b"\xfd7zXZ": "a compressed file",
    b"7z\xbc\xaf": "a compressed file",
    b"Rar!": "a compressed file",
    b"SQLite format 3": "a database",
}
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b\x08"))
_STRANGE = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd-\uffff]")
_MOSTLY = 0.25
_HARDLY = 0.02


def kind_of(name: str, head: bytes) -> DocumentKind:
    """Say what a file is.

    Args:
        name: as the user knows it.
        head: its first `HEAD_BYTES`, or all of it.

    Raises:
        DocumentUnreadable: nothing that is read here; the hint says what is, or what to convert it to.
    """
    suffix = extension(name)
    if not head:
        raise DocumentUnreadable("The file is empty.", "Check that it was saved.")
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(_ZIP):
        return _zipped(suffix, head)
    _refuse_foreign(suffix, head)
    named = _KINDS.get(suffix)
    if _is_sound(head) or named == "audio":
        return "audio"
    if named in ("pdf", "docx", "pptx", "xlsx", "epub"):
        raise DocumentUnreadable(f"The file is named .{suffix}, but it is none or it is damaged.", READABLE)
    if _is_binary(head):
        raise DocumentUnreadable("The file is not text, and no document that is known here.", READABLE)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:256].lower()
    if named is None and start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return named or "text"


def extension(name: str) -> str:
    """Lower-case, without its dot; names like `Makefile` are their own."""
    path = PurePath(name.replace("\\", "/").replace("\x00", ""))
    return (path.suffix[1:] or path.name.lstrip(".")).lower()


def _zipped(suffix: str, head: bytes) -> DocumentKind:
    if b"mimetypeapplication/epub+zip" in head[:100]:
        return "epub"
    if b"mimetypeapplication/vnd.oasis.opendocument" in head[:100]:
        raise DocumentUnreadable(
            "OpenDocument files are not read.", "Save it as DOCX, XLSX, PPTX or PDF and add that."
        )
    named = _KINDS.get(suffix)
    if named in ("docx", "pptx", "xlsx", "epub"):
        return named
    for kind, folder in _OFFICE.items():
        if folder in head:
            return kind
    raise DocumentUnreadable("The file is an archive, not a document.", READABLE)


def _refuse_foreign(suffix: str, head: bytes) -> None:
    if head.startswith(_OLE):
        if suffix in _OLD_OFFICE:
            raise DocumentUnreadable(
                "The file is of an Office before 2007.",
                f"Save it as {_OLD_OFFICE[suffix]} or PDF and add that.",
            )
        raise DocumentUnreadable(
            "The document is protected by a password.", "Remove the password and add it again."
        )
    if head.startswith(b"{\\rtf"):
        raise DocumentUnreadable("RTF files are not read.", "Save it as DOCX or PDF and add that.")
    is_riff_picture = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    what = next((word for magic, word in _FOREIGN.items() if head.startswith(magic)), "")
    if what and not (what == "a program" and len(head) > len(b"MZ") and not _is_binary(head)):
        raise DocumentUnreadable(f"The file is {what}, not a document.", READABLE)
    if is_riff_picture:
        raise DocumentUnreadable("The file is a picture, not a document.", READABLE)


def _is_sound(head: bytes) -> bool:
    return (
        head.startswith(_SOUNDS)
        or (head.startswith(b"RIFF") and head[8:12] in (b"WAVE", b"AVI "))
        or head[4:8] == b"ftyp"
    ) and _is_binary(head)


def _is_binary(head: bytes) -> bool:
    """Whether this is no text: NULs (but for UTF-16 and UTF-32), or control characters all over."""
    if not head or head.startswith(_MARKS) or sixteen_bits(head):
        return False
    controls = sum(head.count(byte) for byte in _CONTROLS)
    return b"\x00" in head or controls > _MOSTLY * len(head)


def sixteen_bits(head: bytes) -> str:
    """The codec of UTF-16 without a mark, told by where its zeros are; empty for anything else."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    codec = ""
    if half and odd > _MOSTLY * half and even <= _HARDLY * half:
        codec = "utf-16-le"
    if half and even > _MOSTLY * half and odd <= _HARDLY * half:
        codec = "utf-16-be"
    if not codec:
        return ""
    strange = _STRANGE.findall(head[: 2 * half].decode(codec, "replace"))
    return codec if len(strange) <= _HARDLY * half else ""
