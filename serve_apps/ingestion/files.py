"""Finds the files of an ingest: those given, those in archives, those behind URLs, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from serve_apps.args import IngestArgs
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, EmptyInput, InputError, RaydioError
from serve_apps.ingestion.archives import Archive, Budget, Entry, clean_name, is_archive
from serve_apps.ingestion.progress import Board
from serve_apps.ingestion.spool import Room
from serve_apps.ingestion.web import WebFetcher
from serve_apps.wire_knowledge import FileFailed, GivenFile, IngestRequest

T = TypeVar("T")

MAX_DEPTH = 1
"""Archives inside an archive are opened, those inside them are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file to read."""

    index: int
    name: str
    path: Path
    is_ours: bool
    """A temporary file of ours, to be deleted when it has been read."""
    url: str = ""

    async def forget(self) -> None:
        """Delete it if it is temporary."""
        if self.is_ours:
            await anyio.Path(self.path).unlink(missing_ok=True)


class Finder:
    """The files of one request. What cannot be opened or fetched is told to the board.

    Args:
        request: what was given.
        args: limits.
        room: where temporary files go.
        fetcher: for URLs.
        board: is told how many files there are, and which failed.
    """

    def __init__(
        self, request: IngestRequest, args: IngestArgs, room: Room, fetcher: WebFetcher, board: Board
    ) -> None:
        self._request = request
        self._args = args
        self._room = room
        self._fetcher = fetcher
        self._board = board
        self._budget = Budget.of(args)
        self._n_found = 0

    async def found(self) -> AsyncGenerator[FoundFile, None]:
        """Every file, each to be forgotten by whoever takes it."""
        for file in self._request.files:
            index, name = self._next_index(), clean_name(file.name) or "unnamed"
            try:
                given = await self._given(index, name, file)
            except (RaydioError, OSError) as error:
                self.fail(index, name, error)
                continue
            async for one in self._opened(given, depth=0):
                yield one
        for url in self._request.urls:
            fetched = await self._fetched(url.strip())
            if fetched:
                async for one in self._opened(fetched, depth=0):
                    yield one

    def fail(self, index: int, name: str, error: RaydioError | OSError) -> None:
        """Say why a file could not be added."""
        self._board.tell(index, failure(name, error))

    def _next_index(self) -> int:
        self._n_found += 1
        self._board.n_files = max(self._board.n_files, self._n_found)
        return self._n_found - 1

    async def _given(self, index: int, name: str, file: GivenFile) -> FoundFile:
        if file.path:
            return FoundFile(index=index, name=name, path=Path(file.path), is_ours=False)
        path = self._room.new_path()
        await anyio.Path(path).write_bytes(file.data)
        return FoundFile(index=index, name=name, path=path, is_ours=True)

    async def _fetched(self, url: str) -> FoundFile | None:
        index, path = self._next_index(), self._room.new_path()
        try:
            fetched = await self._fetcher.fetch(url, path, self._board.share(index, url, "reading"))
        except BaseException as error:
            await _unlinked(path)
            if not isinstance(error, (RaydioError, OSError)):
                raise  # a cancel
            self.fail(index, url, error)
            return None
        name = clean_name(fetched.name) or "unnamed"
        return FoundFile(index=index, name=name, path=path, is_ours=True, url=url)

    async def _opened(self, file: FoundFile, depth: int) -> AsyncGenerator[FoundFile, None]:
        """The file itself, or what is in it where it is an archive."""
        try:
            size = (await anyio.Path(file.path).stat()).st_size
            self._judge(file.name, size, depth)
            if not is_archive(file.name):
                self._budget.spend_file()
                yield file
                return
            archive = await _in_thread(lambda: Archive(file.path, file.name))
        except (RaydioError, OSError) as error:
            await file.forget()
            self.fail(file.index, file.name, error)
            return
        try:
            async for one in self._unpacked(file, archive, depth):
                yield one
        finally:
            archive.close()
            await file.forget()

    def _judge(self, name: str, size: int, depth: int) -> None:
        if size > self._args.max_file_mb * 2**20:
            raise DocumentTooLarge(
                f"The file is larger than {self._args.max_file_mb} MiB.", "Split it, or use a smaller one."
            )
        if not size:
            raise EmptyInput("The file is empty.", "Choose another one.")
        if is_archive(name) and depth > MAX_DEPTH:
            raise DocumentUnreadable(
                "Archives inside archives inside archives are not opened.", "Unpack it first."
            )

    async def _unpacked(
        self, file: FoundFile, archive: Archive, depth: int
    ) -> AsyncGenerator[FoundFile, None]:
        entries = archive.entries()
        if not entries:
            self.fail(file.index, file.name, EmptyInput("There are no files in this archive."))
            return
        if len(entries) > self._budget.n_files:
            too_many = DocumentTooLarge(
                f"The archive holds {len(entries)} files; {self._budget.n_files} more are allowed.",
                "Add them in several parts.",
            )
            self.fail(file.index, file.name, too_many)
            return
        self._board.n_files += len(entries) - 1
        self._board.forget(file.index)
        for number, entry in enumerate(entries):
            index = file.index if number == 0 else self._next_index()
            path = self._room.new_path()
            try:
                await self._extracted(archive, entry, path)
            except (RaydioError, OSError) as error:
                await _unlinked(path)
                self.fail(index, entry.name, error)
                continue
            inner = FoundFile(index=index, name=entry.name, path=path, is_ours=True)
            async for one in self._opened(inner, depth + 1):
                yield one

    async def _extracted(self, archive: Archive, entry: Entry, path: Path) -> None:
        limit = self._args.max_file_mb * 2**20
        await _in_thread(lambda: archive.extract(entry, path, self._budget, limit))


def failure(name: str, error: RaydioError | OSError) -> FileFailed:
    """Why a file could not be added, as its user is told."""
    if isinstance(error, RaydioError):
        return FileFailed(name=name, code=error.code, message=str(error))
    reason = error.strerror or type(error).__name__
    return FileFailed(
        name=name, code=InputError.code, message=f"The file could not be read: {reason}. Try it again."
    )


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def _unlinked(path: Path) -> None:
    await anyio.Path(path).unlink(missing_ok=True)
