"""The door to documents' pages: the passage marked, pictures of PDFs, recordings, what belongs to others."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from fastapi import FastAPI
from PIL import Image

from serve_apps.access import USER
from serve_apps.contracts import Clients
from serve_apps.document_html import MOST_CHARACTERS, marked_text
from serve_apps.document_view import DocumentView
from serve_apps.errors import StageBusy
from serve_apps.media import encode
from serve_apps.page_pictures import MAX_WAITING, PagePictures, Wanted
from serve_apps.wire_knowledge import Document, GivenFile, IngestRequest
from tests.document_pages import library
from tests.fake_clients import hum
from tests.pdf_files import made_pdf

PAGES = ("The observatory opens at nine.", "A ticket costs twelve euros.\n\nChildren pay half.")
HOSTILE = '<script>window.bad=1</script> <img src=x onerror="bad()"> {{body}} {{title}} & "quotes"'


class Reader:
    """Somebody at the door."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.user = "ann"
        app = FastAPI()
        app.router.routes.extend(DocumentView(clients).routes("/v1"))
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self._named(app)), base_url="http://test/v1/"
        )

    def _named(self, app: FastAPI) -> Any:
        async def named(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, USER: self.user}, receive, send)

        return named

    async def add(self, name: str, data: bytes) -> Document:
        collection = (await self.clients.knowledge.collections("ann"))[0]
        given = IngestRequest(
            user="ann", collection_id=collection.id, files=(GivenFile(name=name, data=data),)
        )
        async for _ in self.clients.ingest.stream_ingest(given):
            pass
        documents = await self.clients.knowledge.documents("ann", collection.id)
        return next(document for document in documents if document.name == name)

    async def get(
        self, document: Document, page: str, *, accept: str = "text/html", **query: int
    ) -> httpx.Response:
        address = f"documents/{document.id}/pages/{page}"
        return await self._http.get(address, params=query, headers={"accept": accept})

    async def json(self, document: Document, page: str, **query: int) -> dict[str, Any]:
        answer = await self.get(document, page, accept="application/json", **query)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clients]:
    with library(tmp_path_factory.mktemp("library")) as clients:
        yield clients


@pytest.fixture
def reader(clients: Clients) -> Reader:
    return Reader(clients)


async def test_the_passage_is_marked(reader: Reader) -> None:
    document = await reader.add("notes.txt", b"Before it. The words that were cited. After it.")
    answer = await reader.get(document, "1", start=11, end=37)
    assert "Before it. <mark>The words that were cited.</mark> After it." in answer.text
    assert answer.headers["cache-control"] == "private, no-cache"
    told = await reader.json(document, "1", start=11, end=37)
    assert told["text"][told["start"] : told["end"]] == "The words that were cited."
    assert told["picture"] is None


@pytest.mark.parametrize("query", [{"start": 9_999_999, "end": 3}, {"start": -4, "end": 10**12}, {}])
async def test_a_nonsensical_passage_marks_nothing(reader: Reader, query: dict[str, int]) -> None:
    document = await reader.add("notes.txt", b"Short.")
    answer = await reader.get(document, "1", **query)
    assert answer.status_code == 200
    assert "<mark>" not in answer.text


async def test_what_a_document_says_is_only_text(reader: Reader) -> None:
    document = await reader.add(f"{HOSTILE.replace('/', '')}.txt", HOSTILE.encode())
    page = (await reader.get(document, "1", start=0, end=10)).text
    assert page.count("<script>") == 1  # ours
    assert "<img" not in page
    assert "{{body}}" in page


async def test_a_pdf_is_drawn_with_the_passage_in_its_place(reader: Reader) -> None:
    document = await reader.add("handbook.pdf", made_pdf(PAGES))
    text = (await reader.json(document, "2"))["text"]
    start = text.index("Children")
    told = (await reader.json(document, "2", start=start, end=start + len("Children pay half.")))["picture"]
    answer = await reader.get(document, "2.png", start=start, end=start + len("Children pay half."))
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"].startswith("private")
    with Image.open(io.BytesIO(answer.content)) as picture:
        ink = np.asarray(picture.convert("L")) < 128
    assert ink.shape == (told["height_px"], told["width_px"])
    rows, columns = np.nonzero(ink)
    last_line = rows > rows.max() - 0.02 * told["height_px"]
    [mark] = told["marks"]
    left, top = mark["left"] * told["width_px"], mark["top"] * told["height_px"]
    assert abs(left - columns[last_line].min()) < 8
    assert abs(left + mark["width"] * told["width_px"] - columns[last_line].max()) < 8
    assert top < rows[last_line].min() + 8
    assert abs(top + mark["height"] * told["height_px"] - rows.max()) < 12


async def test_pages_turn(reader: Reader) -> None:
    document = await reader.add("handbook.pdf", made_pdf(PAGES))
    first = (await reader.get(document, "1")).text
    assert "Page 1 of 2" in first
    assert '<a href="2">Next' in first
    assert '<span aria-disabled="true">← Previous' in first


async def test_a_recording_says_when(reader: Reader) -> None:
    document = await reader.add("talk.wav", encode(hum(30.0), "wav"))
    told = await reader.json(document, "1")
    page = (await reader.get(document, "1", start=0, end=len(told["text"]))).text
    assert '<audio controls preload="metadata" src="../original" data-start-s="0.00">' in page
    assert 'aria-label="Play from 0:00"' in page
    assert "<mark>" in page


@pytest.mark.parametrize("page", ["0", "3", "99999999999999999999", "x", "1.5"])
async def test_there_is_no_such_page(reader: Reader, page: str) -> None:
    document = await reader.add("handbook.pdf", made_pdf(PAGES))
    assert (await reader.get(document, page)).status_code == 404
    assert (await reader.get(document, page, accept="application/json")).json()["error"][
        "code"
    ] == "not_found"


async def test_only_pdfs_have_pictures(reader: Reader) -> None:
    document = await reader.add("notes.txt", b"Words.")
    answer = await reader.get(document, "1.png")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_what_was_deleted_is_gone_also_from_memory(reader: Reader) -> None:
    document = await reader.add("handbook.pdf", made_pdf(PAGES))
    assert (await reader.get(document, "1.png")).status_code == 200
    await reader.clients.knowledge.delete("ann", document.id)
    for page in ("1", "1.png"):
        assert (await reader.get(document, page)).status_code == 404
    assert "This document was deleted." in (await reader.get(document, "1")).text


async def test_other_peoples_documents_do_not_exist(reader: Reader) -> None:
    document = await reader.add("handbook.pdf", made_pdf(PAGES))
    assert (await reader.get(document, "1.png")).status_code == 200
    reader.user = "bob"
    assert [(await reader.get(document, page)).status_code for page in ("1", "1.png")] == [404, 404]
    assert "twelve" not in (await reader.get(document, "2")).text


async def test_a_page_is_drawn_once_and_a_crowd_is_refused(reader: Reader) -> None:
    document = await reader.add("handbook.pdf", made_pdf(PAGES))
    pictures = PagePictures(reader.clients.knowledge)
    same = [pictures.get(Wanted("ann", document.id, 1, 0, 5)) for _ in range(MAX_WAITING)]
    drawn = await asyncio.gather(*same)
    assert all(picture is drawn[0] for picture in drawn)
    crowd = [pictures.get(Wanted("ann", document.id, 1, 0, n)) for n in range(6, 8 + MAX_WAITING)]
    answers = await asyncio.gather(*crowd, return_exceptions=True)
    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [StageBusy]


async def test_of_a_very_long_page_the_part_around_the_passage_is_shown() -> None:
    text = "a" * MOST_CHARACTERS + "PASSAGE" + "b" * MOST_CHARACTERS
    html = marked_text(text, MOST_CHARACTERS, MOST_CHARACTERS + 7)
    assert "<mark>PASSAGE</mark>" in html
    assert len(html) < MOST_CHARACTERS + 500
    assert html.count("in the original") == 2
