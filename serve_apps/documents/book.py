"""EPUB: its chapters in reading order, a page each, by the parts of the archive that its package lists."""

from __future__ import annotations

import posixpath
import zipfile
from typing import Any, BinaryIO
from urllib.parse import unquote

from lxml import etree

from serve_apps.documents.structure import Book, one_line
from serve_apps.documents.unzipping import unzipped
from serve_apps.documents.web import parsed, write_html
from serve_apps.errors import DocumentUnreadable

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_CHAPTERS = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")
_FONTS = (".ttf", ".otf", ".woff", ".woff2")


def read_epub(file: BinaryIO, name: str, book: Book) -> None:
    """Chapters in the spine's order; the table of contents names them and is left out itself."""
    _ = name
    archive = unzipped(file, book)
    _refuse_locked(archive)
    package_path = _package_path(archive)
    package = _xml(archive, package_path)
    book.title = one_line(package.findtext(".//{*}metadata/{*}title") or "")
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    names = _names(archive, package_path, list(items.values()))
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if (
            item is not None
            and item.get("media-type") in _CHAPTERS
            and "nav" not in item.get("properties", "")
        ):
            path = _path(package_path, item.get("href", ""))
            _chapter(archive, path, names.get(path, ""), book)


def _chapter(archive: zipfile.ZipFile, path: str, name: str, book: Book) -> None:
    if path not in archive.NameToInfo:
        return
    data = archive.read(path)
    if not data.strip():
        return
    page = book.turn(name)
    write_html(parsed(data), page)
    page.label = page.label or page.first_heading
    page.close()


def _package_path(archive: zipfile.ZipFile) -> str:
    rootfile = _xml(archive, _CONTAINER).find(".//{*}rootfile")
    if rootfile is None:
        raise _damaged()
    return str(rootfile.get("full-path", ""))


def _path(beside: str, link: str) -> str:
    """A member's name from a link in another; names that climb out of the archive are not in it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(beside), unquote(link.partition("#")[0])))


def _xml(archive: zipfile.ZipFile, path: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(archive.read(path), parser)
    except (KeyError, etree.XMLSyntaxError, zipfile.BadZipFile) as wrong:
        raise _damaged() from wrong


def _damaged() -> DocumentUnreadable:
    return DocumentUnreadable(
        "The file is no EPUB, or it is damaged.", "Save it again, or convert it to PDF."
    )


def _refuse_locked(archive: zipfile.ZipFile) -> None:
    """Fonts are often garbled by design; anything else that is encrypted is under a lock."""
    if _ENCRYPTION not in archive.NameToInfo:
        return
    links = (reference.get("URI", "") for reference in _xml(archive, _ENCRYPTION).iter("{*}CipherReference"))
    if any(not link.lower().endswith(_FONTS) for link in links):
        raise DocumentUnreadable(
            "The book is locked by its seller (DRM).", "Add a copy that is not locked, if you have one."
        )


def _names(archive: zipfile.ZipFile, package_path: str, items: list[Any]) -> dict[str, str]:
    """What the table of contents calls each chapter: EPUB 3's page of links, or EPUB 2's list."""
    names: dict[str, str] = {}
    for item in items:
        path = _path(package_path, item.get("href", ""))
        if path not in archive.NameToInfo:
            continue
        if "nav" in item.get("properties", "").split():
            for link in parsed(archive.read(path)).iterfind(".//nav//a"):
                names.setdefault(_path(path, link.get("href", "")), one_line(link.text_content()))
        elif item.get("media-type") == "application/x-dtbncx+xml":
            for point in _xml(archive, path).iter("{*}navPoint"):
                target = point.find("{*}content")
                source = target.get("src", "") if target is not None else ""
                names.setdefault(_path(path, source), one_line(point.findtext("{*}navLabel/{*}text") or ""))
    return names
