"""Ingest over a real knowledge stage: what is added, skipped, refused, cancelled and waited for."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import soundfile

from serve_apps.args import IngestArgs
from serve_apps.contracts import Embeddings
from serve_apps.errors import (
    DocumentTooLarge,
    EmbeddingMismatch,
    EmptyInput,
    Forbidden,
    NotFound,
    StageBusy,
    StageUnavailable,
)
from serve_apps.ingest import IngestConductor
from serve_apps.ingestion.files import FoundFile
from serve_apps.ingestion.shelf import Draft, Shelf
from serve_apps.ingestion.web_addresses import AddressRules
from serve_apps.knowledge import KnowledgeStage
from serve_apps.settings import settings
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import (
    FileAdded,
    FileFailed,
    FileProgress,
    FileSkipped,
    GivenFile,
    IngestDone,
    IngestEvent,
    IngestRequest,
    Passage,
    Ticket,
)
from tests.fake_clients import FakeEmbeddings, FakeStt, card, hum
from tests.knowledge import made_knowledge, searched
from tests.web_site import Site, loopback

OWNER = "owner"
FOX = b"# Foxes\n\nThe quick brown fox jumps over the lazy dog.\n"
OWL = b"Owls sleep by day and hunt by night, without a sound.\n"


class Box:
    """A conductor, the stages that it leads, and a collection."""

    def __init__(self, knowledge: KnowledgeStage, collection_id: str) -> None:
        self.knowledge = knowledge
        self.collection_id = collection_id
        self.embeddings: Embeddings = FakeEmbeddings()
        self.stt = FakeStt()

    def conductor(self, *, patience_s: float = 30.0, **args: Any) -> IngestConductor:
        return IngestConductor(
            self.stt, self.embeddings, self.knowledge, IngestArgs(**args), patience_s=patience_s
        )

    def request(self, files: dict[str, bytes], /, **more: Any) -> IngestRequest:
        given = tuple(GivenFile(name=name, data=data) for name, data in files.items())
        return IngestRequest(**{"user": OWNER, "collection_id": self.collection_id, "files": given, **more})

    async def ingest(self, files: dict[str, bytes], **args: Any) -> list[IngestEvent]:
        return await heard(self.conductor(**args), self.request(files))

    async def names(self) -> list[str]:
        return [document.name for document in await self.knowledge.documents(OWNER, self.collection_id)]

    async def n_vectors(self) -> int:
        return await self.knowledge.n_vectors(OWNER, self.collection_id)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    knowledge = made_knowledge(tmp_path)
    collection = await knowledge.create_collection(OWNER, "Animals")
    yield Box(knowledge, collection.id)
    knowledge.close()


async def heard(conductor: IngestConductor, request: IngestRequest) -> list[IngestEvent]:
    async with aclosing(conductor.stream_ingest(request)) as events:
        return [event async for event in events]


def of(events: list[IngestEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def report(events: list[IngestEvent]) -> IngestDone:
    assert isinstance(events[-1], IngestDone)
    assert len(of(events, IngestDone)) == 1
    return events[-1]


def spooled() -> list[str]:
    """What temporary files are left."""
    found = (settings().home_dir / "spool").rglob("*")
    return [str(path) for path in found if path.is_file() and path.name != ".lock"]


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


# ---- what is added -----------------------------------------------------------------------------


async def test_files_are_added_and_found(box: Box) -> None:
    events = await box.ingest({"fox.md": FOX, "birds/owl.txt": OWL})
    done = report(events)
    assert (done.n_added, done.n_skipped, done.n_failed) == (2, 0, 0)
    assert done.n_passages == sum(event.document.n_passages for event in of(events, FileAdded))
    assert await box.names() == ["birds/owl.txt", "fox.md"]
    found = await searched(box.knowledge, box.embeddings, OWNER, "which birds hunt by night")
    assert found.hits[0].document.name == "birds/owl.txt"
    assert spooled() == []


async def test_the_file_itself_and_its_tags_are_kept(box: Box) -> None:
    request = box.request({"fox.md": FOX}, tags=("animals",))
    (added,) = of(await heard(box.conductor(), request), FileAdded)
    assert added.document.tags == ("animals",)
    assert await box.knowledge.original(OWNER, added.document.id) == FOX


@pytest.mark.parametrize(("given", "kept"), [(("birds",), ("birds",)), ((), ("animals",))])
async def test_a_file_that_is_there_already_gets_new_tags(
    box: Box, given: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    (added,) = of(await heard(box.conductor(), box.request({"fox.md": FOX}, tags=("animals",))), FileAdded)
    assert of(await heard(box.conductor(), box.request({"fox.md": FOX}, tags=given)), FileSkipped)
    assert (await box.knowledge.document(OWNER, added.document.id)).tags == kept


async def test_a_file_on_disk_is_read_and_left_there(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes(OWL)
    request = box.request({}, files=(GivenFile(name="owl.txt", path=str(path)),))
    assert report(await heard(box.conductor(), request)).n_added == 1
    assert path.exists()


async def test_the_same_file_is_skipped_and_another_of_its_name_replaces_it(box: Box) -> None:
    await box.ingest({"fox.md": FOX})
    (skipped,) = of(await box.ingest({"fox.md": FOX}), FileSkipped)
    assert skipped == FileSkipped(name="fox.md", reason="unchanged")
    await box.ingest({"fox.md": OWL})
    assert await box.names() == ["fox.md"]
    found = await searched(box.knowledge, box.embeddings, OWNER, "quick brown fox")
    assert all("fox" not in hit.passage.text for hit in found.hits)
    assert await box.n_vectors() == 1


async def test_repeated_passages_are_stored_once_and_counted(box: Box) -> None:
    paragraph = " ".join(f"word{n}" for n in range(90))
    text = f"# One\n\n{paragraph}\n\n# Two\n\n{paragraph}\n".encode()
    (added,) = of(await box.ingest({"twice.md": text}, passage_characters=500), FileAdded)
    assert added.n_duplicates > 0
    assert added.document.n_passages == await box.n_vectors()


async def test_a_long_document_goes_through_in_batches(box: Box) -> None:
    text = "\n\n".join(
        f"Paragraph {n} tells of animal number {n} and its {n * 7} habits." * 4 for n in range(120)
    )
    (added,) = of(
        await box.ingest({"long.txt": text.encode()}, batch_passages=16, passage_characters=200), FileAdded
    )
    assert added.document.n_passages == await box.n_vectors() > 100
    assert isinstance(box.embeddings, FakeEmbeddings)
    assert max(map(len, box.embeddings.requests)) <= 16


async def test_passages_of_small_files_share_batches_and_long_files_are_cut(tmp_path: Path) -> None:
    shelf = Shelf(1000)
    drafts = [draft(n, tmp_path) for n in (1, 1, 5)]
    for one in drafts:
        await shelf.put(one)
    await shelf.end()
    first, second, third = await shelf.take(4), await shelf.take(4), await shelf.take(4)
    assert [(part.draft, len(part.passages)) for part in first] == [
        (drafts[0], 1),
        (drafts[1], 1),
        (drafts[2], 2),
    ]
    assert [(part.draft, len(part.passages)) for part in second] == [(drafts[2], 3)]
    assert third == []


async def test_what_failed_is_not_embedded_and_readers_wait_for_room(tmp_path: Path) -> None:
    shelf = Shelf(3)
    failed, good, last = draft(3, tmp_path), draft(1, tmp_path), draft(2, tmp_path)
    await shelf.put(failed)
    putting = asyncio.create_task(shelf.put(good))
    failed.is_dropped = True
    assert not putting.done()
    (part,) = await shelf.take(8)
    assert part.draft is good
    await shelf.put(last)
    await shelf.end()
    assert [part.draft for part in await shelf.take(8)] == [last]


def draft(n_passages: int, folder: Path) -> Draft:
    return Draft(
        file=FoundFile(index=0, name="a", path=folder, is_ours=False),
        ticket=Ticket(document_id="d", collection_id="c"),
        passages=tuple(Passage(index=n, text="x", page=1, start=0, end=1) for n in range(n_passages)),
        n_duplicates=0,
    )


async def test_a_recording_is_transcribed_with_times(box: Box) -> None:
    audio, file = hum(4.0), io.BytesIO()
    soundfile.write(file, audio.samples, audio.rate_hz, format="WAV")
    events = await box.ingest({"memo.wav": file.getvalue()})
    (added,) = of(events, FileAdded)
    assert added.document.kind == "audio"
    found = await searched(box.knowledge, box.embeddings, OWNER, "lazy dog")
    assert found.hits[0].passage.end_s == pytest.approx(4.0, abs=0.1)


async def test_silence_is_said(box: Box) -> None:
    file = io.BytesIO()
    soundfile.write(file, hum(1.0).samples * 0, 22_050, format="WAV")
    (failed,) = of(await box.ingest({"silence.wav": file.getvalue()}), FileFailed)
    assert failed.code == "no_speech"


# ---- archives ----------------------------------------------------------------------------------


async def test_an_archive_is_opened_and_what_is_in_it_named_by_it(box: Box) -> None:
    inner = zipped({"deep.txt": b"A badger digs deep."})
    outer = zipped({"fox.md": FOX, "more/inner.zip": inner, "__MACOSX/._fox.md": b"x", ".DS_Store": b"x"})
    events = await box.ingest({"all.zip": outer, "owl.txt": OWL})
    assert await box.names() == ["all.zip/fox.md", "all.zip/more/inner.zip/deep.txt", "owl.txt"]
    assert report(events).n_failed == 0
    assert spooled() == []


# ---- web addresses -----------------------------------------------------------------------------


async def test_a_page_is_fetched_and_remembers_where_it_came_from(box: Box) -> None:
    site = Site()
    page = b"<html><body><h1>Foxes</h1><p>The quick brown fox jumps over the lazy dog.</p></body></html>"
    site.says("/fox", page, "content-type: text/html")
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    url = f"http://site.example:{server.sockets[0].getsockname()[1]}/fox"
    rules = AddressRules(private_addresses=True, resolver=loopback)
    conductor = IngestConductor(box.stt, box.embeddings, box.knowledge, IngestArgs(), rules=rules)
    async with server:
        events = await heard(conductor, box.request({}, urls=(url, "http://169.254.169.254/")))
        again = await heard(conductor, box.request({}, urls=(url,)))
    (added,), (failed,) = of(events, FileAdded), of(events, FileFailed)
    assert (added.document.name, added.document.kind, added.document.url) == (
        "site.example/fox.html",
        "html",
        url,
    )
    assert (failed.name, failed.code) == ("http://169.254.169.254/", "address_refused")
    assert of(again, FileSkipped)
    assert spooled() == []


# ---- what fails --------------------------------------------------------------------------------


async def test_a_file_that_fails_does_not_stop_the_others(box: Box) -> None:
    events = await box.ingest(
        {
            "program.exe": b"MZ\x90\x00\x03\x00\x00\x00" * 10,
            "empty.txt": b"",
            "broken.pdf": b"%PDF-1.7 nothing",
            "broken.zip": b"PK\3\4 not really",
            "fox.md": FOX,
        }
    )
    done = report(events)
    assert (done.n_added, done.n_failed) == (1, 4)
    assert {failure.name for failure in done.failed} == {
        "program.exe",
        "empty.txt",
        "broken.pdf",
        "broken.zip",
    }
    assert all(failure.message and failure.code for failure in done.failed)
    assert await box.names() == ["fox.md"]
    assert spooled() == []


async def test_a_file_over_the_limit_is_refused_by_its_size(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(2**30)  # a sparse file: a gigabyte that is never read
    request = box.request({}, files=(GivenFile(name="huge.txt", path=str(path)),))
    (failed,) = of(await heard(box.conductor(), request), FileFailed)
    assert failed.code == DocumentTooLarge.code
    assert "200 MiB" in failed.message


async def test_a_file_that_vanished_is_said(box: Box) -> None:
    request = box.request({}, files=(GivenFile(name="gone.txt", path="/nonexistent/gone.txt"),))
    (failed,) = of(await heard(box.conductor(), request), FileFailed)
    assert "could not be read" in failed.message


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\etc\\passwd", "etc/./passwd"])
async def test_names_cannot_climb(box: Box, name: str) -> None:
    await box.ingest({name: OWL})
    assert await box.names() == ["etc/passwd"]


async def test_nothing_and_too_much_are_refused(box: Box) -> None:
    with pytest.raises(EmptyInput):
        await box.ingest({})
    with pytest.raises(DocumentTooLarge):
        await box.ingest({f"{n}.txt": OWL for n in range(4)}, max_files=3)


async def test_a_collection_that_takes_nothing_ends_the_ingest(box: Box) -> None:
    with pytest.raises(NotFound):
        await heard(box.conductor(), box.request({"fox.md": FOX}, collection_id="0" * 32))
    await box.knowledge.change_collection(OWNER, box.collection_id, shared=True)
    with pytest.raises(Forbidden):
        await heard(box.conductor(), box.request({"fox.md": FOX}, user="somebody"))


class OtherEmbeddings(FakeEmbeddings):
    """A model with a name and a size of its own."""

    dimensions = 16

    async def describe(self) -> Any:
        report = await super().describe()
        return type(report)(**{**{f: getattr(report, f) for f in report.__slots__}, "card": card("other")})


async def test_another_embedding_model_is_refused_until_the_collection_is_indexed_again(box: Box) -> None:
    await box.ingest({"fox.md": FOX, "owl.txt": OWL})
    box.embeddings = OtherEmbeddings()
    with pytest.raises(EmbeddingMismatch):
        await box.ingest({"more.txt": b"Badgers dig."})
    async with aclosing(box.conductor().stream_reindex(OWNER, box.collection_id)) as stream:
        events = [event async for event in stream]
    assert report(events).n_passages == 2
    assert report(await box.ingest({"more.txt": b"Badgers dig."})).n_added == 1
    (collection,) = [c for c in await box.knowledge.collections(OWNER) if c.id == box.collection_id]
    assert (collection.embedding_model, collection.dimensions) == (card("other").model, 16)
    assert await box.n_vectors() == 3


async def test_only_what_is_the_users_is_indexed_again(box: Box) -> None:
    with pytest.raises(NotFound):
        async for _ in box.conductor().stream_reindex("somebody", box.collection_id):
            pass


# ---- stages that are away ----------------------------------------------------------------------


class Flaky(FakeEmbeddings):
    """Away for its first `n_failures` batches."""

    def __init__(self, n_failures: int) -> None:
        super().__init__()
        self.n_failures = n_failures

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.n_failures and "dimensions" not in texts[0]:
            self.n_failures -= 1
            raise StageUnavailable("embeddings", "It is restarting.", "Try again.", 0.01)
        return await super().embed(texts)


async def test_a_stage_that_restarts_is_waited_for(box: Box) -> None:
    box.embeddings = Flaky(2)
    assert report(await box.ingest({"fox.md": FOX})).n_added == 1


async def test_a_stage_that_stays_away_fails_the_file_and_leaves_nothing(box: Box) -> None:
    box.embeddings = Flaky(1000)
    (failed,) = of(await box.ingest({"fox.md": FOX}, patience_s=0.1), FileFailed)
    assert failed.code == StageUnavailable.code
    assert await box.names() == []
    assert await box.n_vectors() == 0


# ---- cancelling, waiting -----------------------------------------------------------------------


class Gate(FakeEmbeddings):
    """Lets batches through while `open` is set; says when one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.waits = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if "dimensions" not in texts[0]:
            self.waits.set()
            await self.open.wait()
        return await super().embed(texts)


async def test_a_cancel_leaves_what_was_acknowledged_and_nothing_else(box: Box) -> None:
    await box.ingest({"owl.txt": OWL})
    gate = box.embeddings = Gate()
    stream = box.conductor().stream_ingest(box.request({"fox.md": FOX}))
    events = [await anext(stream)]
    await gate.waits.wait()
    await stream.aclose()
    assert isinstance(events[0], FileProgress)
    assert await box.names() == ["owl.txt"]
    assert await box.n_vectors() == 1
    assert spooled() == []
    gate.open.set()
    assert report(await box.ingest({"fox.md": FOX})).n_added == 1  # nothing is in its way


async def test_progress_comes_while_work_goes_on(box: Box) -> None:
    gate = box.embeddings = Gate()
    async with aclosing(
        box.conductor().stream_ingest(box.request({"fox.md": FOX, "owl.txt": OWL}))
    ) as stream:
        steps = set()
        async for event in stream:
            if isinstance(event, FileProgress):
                steps.add(event.step)
                assert (event.n_files, event.index in (0, 1)) == (2, True)
            if "embedding" in steps:
                break
        gate.open.set()
        rest = [event async for event in stream]
    assert report(rest).n_added == 2


async def test_others_wait_and_too_many_are_sent_away(box: Box) -> None:
    gate = box.embeddings = Gate()
    conductor = box.conductor(n_at_once=1, max_waiting=1)
    first = conductor.stream_ingest(box.request({"fox.md": FOX}))
    second = conductor.stream_ingest(box.request({"owl.txt": OWL}))
    await anext(first)
    waiting = await anext(second)
    assert isinstance(waiting, FileProgress)
    assert waiting.step == "waiting"
    with pytest.raises(StageBusy) as busy:
        await heard(conductor, box.request({"fox.md": FOX}))
    assert busy.value.retry_after_s
    gate.open.set()
    both = await asyncio.gather(*[_rest(stream) for stream in (first, second)])
    assert [report(events).n_added for events in both] == [1, 1]


async def _rest(stream: Any) -> list[IngestEvent]:
    return [event async for event in stream]
