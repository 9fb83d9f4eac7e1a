"""Bytes to text: marks, UTF-8, UTF-16 without a mark, else what charset-normalizer takes it for."""

from __future__ import annotations

import codecs
import contextlib

from serve_apps.documents.kinds import READABLE, sixteen_bits
from serve_apps.errors import DocumentUnreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ASCII = bytes(range(128))
_FEW = 6
_SAMPLE_BYTES = 64 * 1024
_MOST_UNREADABLE = 0.05


def decoded(data: bytes, declared: str = "") -> str:
    """The text of a file, with Unix line ends.

    Args:
        data: all of it.
        declared: the encoding that it says it has, which is believed if it is not UTF-8.

    Raises:
        DocumentUnreadable: it is not text.
    """
    text = _decoded(data, declared).replace("\r\n", "\n").replace("\r", "\n")
    strange = text.count("\x00") + text.count("\ufffd")
    if strange > _MOST_UNREADABLE * len(text):
        raise DocumentUnreadable("The file is not text, and no document that is known here.", READABLE)
    return text


def _decoded(data: bytes, declared: str) -> str:
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data.decode(codec, "replace")
    if codec := sixteen_bits(data[:_SAMPLE_BYTES]):
        return data.decode(codec, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as wrong:
        at = wrong.start
    with contextlib.suppress(LookupError, UnicodeDecodeError):
        return data.decode(declared or "none")
    return data.decode(_guessed(data, at), "replace")


def _guessed(data: bytes, at: int) -> str:
    """The codec of text that is not UTF-8, from a sample around the first byte that shows it."""
    from charset_normalizer import from_bytes  # noqa: PLC0415  # 30 ms that few texts need

    start = max(0, at - _SAMPLE_BYTES // 2)
    sample = data[start : start + _SAMPLE_BYTES]
    if len(sample.translate(None, _ASCII)) < _FEW:
        return "cp1252"  # too little to tell by: the most common one
    best = from_bytes(sample).best()
    return best.encoding if best is not None else "utf-8"
