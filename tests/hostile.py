"""Files that are made to do harm, or are broken; made in code, so that none lies in the repository."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.document_files import CONTAINER, FILES, package, zipped
from tests.pdf_files import made_pdf

GIGABYTE = 2**30
MEGABYTE = 2**20


def bomb(base: bytes, member: str, n_bytes: int = 512 * MEGABYTE) -> bytes:
    """An archive with so many zeros in one member."""
    buffer = io.BytesIO(base)
    block = bytes(16 * MEGABYTE)
    with (
        zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(member, "w", force_zip64=True) as part,
    ):
        for _ in range(n_bytes // len(block)):
            part.write(block)
    return buffer.getvalue()


def lying_bomb(member: str) -> bytes:
    """An archive that says a member has 100 bytes, and holds 64 MB."""
    data = bytes(64 * MEGABYTE)
    whole = zipped({"[Content_Types].xml": b"<Types/>", member: data})
    size = len(data).to_bytes(4, "little")
    return whole.replace(size, (100).to_bytes(4, "little"))


def nested_bomb() -> bytes:
    """Archives in archives; the documents' readers open none of the inner ones."""
    inner = zipped({"zeros": bytes(16 * MEGABYTE)})
    for _ in range(3):
        inner = zipped({f"{n}.zip": inner for n in range(16)})
    return zipped({"word/document.xml": b"<w/>", "inner.zip": inner})


def replaced(base: bytes, member: str, data: bytes) -> bytes:
    """The archive with another content of one member."""
    with zipfile.ZipFile(io.BytesIO(base)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped({**members, member: data})


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol0 "lol">%s]>
    <html><body><p>&lol9;</p></body></html>""" % (
    b"".join(b'<!ENTITY lol%d "%s">' % (n, b"&lol%d;" % (n - 1) * 10) for n in range(1, 10))
)
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<html><body><p>before &x; after</p></body></html>"""
LATE_ENTITIES = b"<?xml version='1.0'?><!--" + b"x" * 200_000 + b"-->" + LAUGHS.partition(b"?>")[2]


def epub(chapter: bytes, path: str = "one.xhtml") -> bytes:
    """A book of one chapter."""
    return zipped(
        {
            "mimetype": b"application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "book/content.opf": package([path]),
            "book/one.xhtml": chapter,
        }
    )


def locked_pdf() -> bytes:
    """A PDF that needs a password: standard security handler, revision 2."""
    encryption = b"<</Filter/Standard/V 1/R 2/P -44/O<%s>/U<%s>>>" % (b"ab" * 32, b"cd" * 32)
    return pdf_of(
        [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>", encryption],
        b"/Encrypt 3 0 R/ID[<00><00>]",
    )


def pdf_of(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(
        out + b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, trailer, start)
    )


def many_pages(n_pages: int = 100_000) -> bytes:
    """All of them the same page, so that the file is small."""
    kids = b"3 0 R " * n_pages
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count %d/Kids[%s]>>" % (n_pages, kids),
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
        ]
    )


def endless_pages() -> bytes:
    """A page tree that holds itself."""
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 10/Kids[3 0 R 2 0 R]>>",
            b"<</Type/Pages/Parent 2 0 R/Count 9/Kids[2 0 R 3 0 R]>>",
        ]
    )


def drawn(content: bytes, media_box: bytes = b"0 0 200 200") -> bytes:
    """A PDF of one page with this content, in Helvetica as /F."""
    packed = zlib.compress(content)
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
            % media_box,
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed),
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        ]
    )


HUGE_PAGE = b"0 0 2000000000 2000000000"
WORDS = b"BT /F 12 Tf 20 100 Td (Words on a page) Tj ET"


def content_bomb() -> bytes:
    """A page whose content unpacks to a quarter of a gigabyte of drawing."""
    packer = zlib.compressobj(1)
    block = b"0 0 m 9 9 l S " * 75_000
    packed = b"".join([*(packer.compress(block) for _ in range(256)), packer.flush()])
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R>>",
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed),
        ]
    )


def wide_sheet() -> bytes:
    """16,384 columns of formulas and strings, 4 rows."""
    cell = b'<c t="str"><f>CONCAT(A1:XFD1048576)</f><v>=HYPERLINK("http://127.0.0.1")</v></c>'
    rows = b"<row>" + cell * 16_384 + b"</row>"
    return replaced(FILES["orlan.xlsx"](), "xl/worksheets/sheet1.xml", sheet_of(rows * 4))


def sheet_of(rows: bytes) -> bytes:
    """The XML of a sheet."""
    main = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    return b"<worksheet %s><sheetData>%s</sheetData></worksheet>" % (main, rows)


def claiming_sheet() -> bytes:
    """One cell, and another in the last corner of a sheet that says it is as large as a sheet can be."""
    cell = b'<row r="%d"><c r="%s" t="inlineStr"><is><t>%s</t></is></c></row>'
    sheet = sheet_of(cell % (1, b"A1", b"lonely") + cell % (1_048_576, b"XFD1048576", b"far"))
    claim = b'<dimension ref="A1:XFD1048576"/><sheetData>'
    sheet = sheet.replace(b"<sheetData>", claim)
    return replaced(FILES["orlan.xlsx"](), "xl/worksheets/sheet1.xml", sheet)


def shared_string_bomb() -> bytes:
    """A cell of 30 kB, shown 4,000 times: 120 MB of text."""
    main = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = b"<sst %s><si><t>%s</t></si></sst>" % (main, b"word " * 6000)
    rows = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (n, n) for n in range(1, 4001))
    workbook = replaced(FILES["orlan.xlsx"](), "xl/sharedStrings.xml", strings)
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        types = archive.read("[Content_Types].xml")
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = b'<Override PartName="/xl/sharedStrings.xml" ContentType="%s"/></Types>' % kind
    workbook = replaced(workbook, "[Content_Types].xml", types.replace(b"</Types>", part))
    return replaced(workbook, "xl/worksheets/sheet1.xml", sheet_of(rows))


def word_of(body: bytes) -> bytes:
    """A Word document of this XML."""
    main = b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    whole = b"<w:document xmlns:w='%s'><w:body>%s</w:body></w:document>" % (main, body)
    return replaced(FILES["orlan.docx"](), "word/document.xml", whole)


def spanning_table() -> bytes:
    """A Word table whose one cell says that it spans two thousand million columns."""
    span = b"<w:tcPr><w:gridSpan w:val='2000000000'/></w:tcPr>"
    row = b"<w:tr><w:tc>%s<w:p><w:r><w:t>wide</w:t></w:r></w:p></w:tc></w:tr>" % span
    return word_of(b"<w:tbl>%s</w:tbl>" % (row * 2))


def deep_word(depth: int = 100_000) -> bytes:
    """Content controls in content controls."""
    return word_of(b"<w:sdt><w:sdtContent>" * depth + b"</w:sdtContent></w:sdt>" * depth)


def locked_archive() -> bytes:
    """An archive whose members say that they are encrypted."""
    data = bytearray(FILES["orlan.docx"]())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(magic)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(magic, at + 4)
    return bytes(data)


def locked_book() -> bytes:
    """An e-book with DRM on its chapters."""
    encryption = b"""<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
    xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:CipherData>
    <enc:CipherReference URI="book/one.xhtml"/></enc:CipherData></enc:EncryptedData></encryption>"""
    return replaced(FILES["orlan.epub"](), "META-INF/encryption.xml", encryption)


REFUSED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "zeros in Word": (
        lambda: bomb(FILES["orlan.docx"](), "word/media/a.bin", GIGABYTE), "a.docx", "unpacks to",
    ),
    "zeros in Excel": (lambda: bomb(FILES["orlan.xlsx"](), "xl/a.xml"), "a.xlsx", "unpacks to"),
    "zeros in a book": (lambda: bomb(FILES["orlan.epub"](), "book/a.xhtml"), "a.epub", "unpacks to"),
    "sizes that lie": (lambda: lying_bomb("word/document.xml"), "a.docx", "damaged"),
    "archives in archives": (nested_bomb, "a.docx", "no Word document"),
    "laughs in Word": (
        lambda: replaced(FILES["orlan.docx"](), "word/document.xml", LAUGHS), "a.docx", "entities",
    ),
    "laughs in a book": (lambda: epub(LAUGHS), "a.epub", "entities"),
    "outside in a book": (lambda: epub(OUTSIDE), "a.epub", "entities"),
    "outside in Excel": (
        lambda: replaced(FILES["orlan.xlsx"](), "xl/workbook.xml", OUTSIDE), "a.xlsx", "entities",
    ),
    "laughs behind a comment": (
        lambda: replaced(FILES["orlan.docx"](), "word/document.xml", LATE_ENTITIES), "a.docx", "",
    ),
    "climbing out of a book": (lambda: epub(b"<p>x</p>", "../../../../etc/passwd"), "a.epub", "no text"),
    "locked PDF": (locked_pdf, "a.pdf", "password"),
    "locked Word": (locked_archive, "a.docx", "password"),
    "locked book": (locked_book, "a.epub", "DRM"),
    "cut PDF": (lambda: made_pdf(["# Words\n\nand more of them"])[:600], "a.pdf", "damaged"),
    "cut Word": (lambda: FILES["orlan.docx"]()[:5000], "a.docx", "damaged"),
    "garbled Word": (
        lambda: replaced(FILES["orlan.docx"](), "word/document.xml", b"<w:body"), "a.docx", "damaged",
    ),
    "100,000 pages": (many_pages, "a.pdf", "more than 5000 pages"),
    "endless pages": (endless_pages, "a.pdf", ""),
    "content bomb": (content_bomb, "a.pdf", ""),
    "picture only": (lambda: drawn(b"0 0 99 99 re f"), "a.pdf", "a scan?"),
    "blank PDF": (lambda: drawn(b""), "a.pdf", "no text"),
    "shared strings": (shared_string_bomb, "a.xlsx", "MB of text"),
    "deep Word": (deep_word, "a.docx", ""),
    "program named PDF": (
        lambda: b"MZ\x90\x00\x03\x00\x00\x00\x04\x00" + bytes(range(256)) * 9, "a.pdf", "a program",
    ),
    "one cell of 200 MB": (lambda: b'a,b\n1,"' + b"x" * (199 * MEGABYTE), "a.csv", "MB of text"),
    "one line of 30 MB": (lambda: b"x" * (30 * MEGABYTE), "a.txt", "MB of text"),
    "zeros": (lambda: bytes(MEGABYTE), "a.txt", "not text"),
    "noise": (lambda: b"text" + bytes(range(256)) * 4096, "a.md", "not text"),
    "nothing": (lambda: b"", "a.txt", "empty"),
    "white space": (lambda: b" \n\t\n" * 9000, "a.txt", "no text"),
    "punctuation": (lambda: b"--- *** !!!\n" * 9, "a.md", "no text"),
    "notebook of nothing": (lambda: b"[1, 2]", "a.ipynb", ""),
    "page of nothing": (lambda: b"<html></html>", "a.html", "no text"),
}  # fmt: skip
"""What, its name, and what is said; all of them are refused."""

READ: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "deep page": (lambda: b"<div>" * 100_000 + b"words" + b"</div>" * 100_000, "a.html", ""),
    "rather deep page": (lambda: b"<div>" * 1000 + b"words" + b"</div>" * 1000, "a.html", "words"),
    "laughs in a page": (lambda: LAUGHS, "a.html", ""),
    "outside in a page": (lambda: OUTSIDE, "a.html", "before"),
    "huge page": (lambda: drawn(WORDS, HUGE_PAGE), "a.pdf", "Words on a page"),
    "one cell that claims to be a million": (claiming_sheet, "a.xlsx", "lonely"),
    "16,384 columns": (wide_sheet, "a.xlsx", "HYPERLINK"),
    "a cell over all columns": (spanning_table, "a.docx", "wide"),
    "half characters": (lambda: "before \ud800 after".encode("utf-8", "surrogatepass"), "a.txt", "before"),
    "half characters in JSON": (
        lambda: b'{"cells": [{"cell_type": "code", "source": "a\\ud800"}]}',
        "a.ipynb",
        "",
    ),
    "a line of a megabyte": (lambda: b"x" * MEGABYTE, "a.txt", "xxx"),
    "brackets": (lambda: b"# " + b"[" * 500_000 + b" words", "a.md", "words"),
    "hashes": (lambda: b"#" * 500_000 + b"\n\nwords", "a.md", "words"),
    "spaces": (lambda: b"a" + b" " * MEGABYTE + b"b", "a.md", "a"),
    "fence without an end": (lambda: b"```\n" + b"code\n" * 50_000, "a.md", "code"),
    "front matter without an end": (lambda: b"---\n" * 100_000 + b"words", "a.md", "words"),
    "definitions": (lambda: b"export " * 200_000 + b"class A", "a.ts", "export"),
    "quotes": (lambda: b'"' * 200_001 + b"\nwords,b\n", "a.csv", ""),
    "tags without an end": (lambda: b"<p>words" + b"<" * 300_000, "a.html", "words"),
}
"""What, its name, and what it says: these have words, or are refused; whichever, in time."""


def sparse(path: Path, n_bytes: int = GIGABYTE) -> Path:
    """A file that takes no room and is a gigabyte long."""
    with path.open("wb") as file:
        file.truncate(n_bytes)
    return path
