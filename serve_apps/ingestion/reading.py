"""From a file to a draft: hashed, begun in the catalogue, read or transcribed, its pages stored."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

import anyio

from serve_apps import media, transcription
from serve_apps.args import IngestArgs
from serve_apps.documents.kinds import HEAD_BYTES, MEDIA_TYPES, kind_of
from serve_apps.documents.reading import ReadDocument, from_transcript, read
from serve_apps.errors import AudioTooLong, NoSpeech, RaydioError
from serve_apps.ingestion.files import FoundFile
from serve_apps.ingestion.patience import patiently
from serve_apps.ingestion.progress import Board
from serve_apps.ingestion.shelf import Draft
from serve_apps.ingestion.tickets import EmbeddingModel, Stages, Tickets
from serve_apps.wire import Segment, SttOptions
from serve_apps.wire_knowledge import IngestRequest, NewDocument, Ticket

T = TypeVar("T")


class FileReader:
    """Makes drafts for one ingest.

    Args:
        request: whose files, for which collection.
        stages: stt for recordings, knowledge for pages.
        tickets: of this ingest.
        args: limits.
        board: is told what happens.
    """

    def __init__(
        self, request: IngestRequest, stages: Stages, tickets: Tickets, args: IngestArgs, board: Board
    ) -> None:
        self._request = request
        self._stages = stages
        self._tickets = tickets
        self._args = args
        self._board = board

    async def draft(self, file: FoundFile, model: EmbeddingModel) -> Draft | None:
        """The file's passages with a ticket for them; None where the same file is there already.

        Raises:
            RaydioError, OSError: nothing of it is left.
        """
        self._board.at(file.index, file.name, "reading")
        document = await _in_thread(lambda: self._described(file))
        ticket = await self._tickets.begin(self._request.user, self._request.collection_id, document, model)
        if ticket.unchanged:
            return None
        try:
            return await self._drafted(file, document, ticket)
        except (RaydioError, OSError):
            await self._tickets.abandon(ticket)
            raise

    def _described(self, file: FoundFile) -> NewDocument:
        with file.path.open("rb") as opened:
            kind = kind_of(file.name, opened.read(HEAD_BYTES))
            opened.seek(0)
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
            size_bytes = opened.tell()
        return NewDocument(
            name=file.name,
            kind=kind,
            media_type=MEDIA_TYPES[kind],
            sha256=sha256,
            size_bytes=size_bytes,
            url=file.url,
            tags=self._request.tags,
        )

    async def _drafted(self, file: FoundFile, document: NewDocument, ticket: Ticket) -> Draft:
        if document.kind == "audio":
            found = await patiently(lambda: self._heard(file), self._stages.patience_s)
        else:
            found = await read(file.path, file.name, self._args)
        original = await anyio.Path(file.path).read_bytes()
        await patiently(
            lambda: self._stages.knowledge.add_pages(ticket, found.pages, original), self._stages.patience_s
        )
        return Draft(
            file=file,
            ticket=ticket,
            passages=found.passages,
            n_duplicates=found.n_duplicates,
            notes=found.notes,
        )

    async def _heard(self, file: FoundFile) -> ReadDocument:
        """What is said in a recording, as a document."""
        duration_s = (await _in_thread(lambda: media.probe(file.path))).duration_s
        self._judge_duration(duration_s)
        segments: tuple[Segment, ...] = ()
        self._board.at(file.index, file.name, "transcribing")
        async with aclosing(transcription.stream_file(self._stages.stt, file.path, SttOptions())) as updates:
            async for update in updates:
                self._judge_duration(update.done_s)
                share = update.done_s / duration_s if duration_s else 0.0
                self._board.at(file.index, file.name, "transcribing", share)
                segments = update.transcript.segments
        if not segments:
            raise NoSpeech("Nobody speaks in this recording.", "Choose another one.")
        return from_transcript(file.name, segments, self._args)

    def _judge_duration(self, duration_s: float) -> None:
        if duration_s > self._args.max_audio_s:
            raise AudioTooLong(
                f"The recording is longer than {self._args.max_audio_s / 3600:g} hours.", "Cut it into parts."
            )


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)
