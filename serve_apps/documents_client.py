"""Documents over HTTP, for the command line: the REST door of the Raydio that runs here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from serve_apps import access, run_state
from serve_apps.errors import InputError, NotFound, NotRunning, StageBusy, StageUnavailable

GROUP_FILES = 100
GROUP_BYTES = 64 * 2**20
"""Files that travel in one request: enough of them to keep the embedder busy, few enough to be soon there."""
_TIMEOUT_S = 300.0
"""Of a pause between two events; some come every second while work goes on."""
_PATIENCE_S = 120.0
_RETRY_S = 2.0

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to send."""

    name: str
    """As it will be called: with its folder, where one was given."""
    path: Path
    size_bytes: int


class DocumentsClient:
    """Calls the door; errors in its words.

    Args:
        http: a client whose base is `/v1/`, with the credential.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    @contextmanager
    def connected(cls) -> Iterator[Self]:
        """To the Raydio of this home.

        Raises:
            NotRunning: there is none.
        """
        state = run_state.read()
        if state is None or not state.alive or not state.url:
            raise NotRunning("Raydio is not running.", "Start it: raydio up.")
        headers = {"authorization": f"Bearer {access.token()}"}
        base = state.url.rstrip("/") + "/v1/"
        with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S, trust_env=False) as http:
            yield cls(http)

    def collections(self) -> list[dict[str, Any]]:
        """Every collection, own ones first."""
        found: list[dict[str, Any]] = self._call("GET", "collections")["data"]
        return found

    def collection(self, name: str, *, create: bool = False) -> dict[str, Any]:
        """The collection of this name or id, made if there is none and `create` says so.

        Raises:
            NotFound: there is none.
        """
        all_ = self.collections()
        for collection in all_:
            if name in (collection["name"], collection["id"]):
                return collection
        if create:
            made: dict[str, Any] = self._call("POST", "collections", {"name": name})
            return made
        known = ", ".join(collection["name"] for collection in all_)
        raise NotFound(f"There is no collection {name!r}.", f"There are: {known}.")

    def documents(self, collection_id: str) -> list[dict[str, Any]]:
        """By name."""
        found: list[dict[str, Any]] = self._call("GET", f"collections/{collection_id}/documents")["data"]
        return found

    def delete(self, document_id: str) -> dict[str, Any]:
        """Delete a document; says what was counted afterwards."""
        deleted: dict[str, Any] = self._call("DELETE", f"documents/{document_id}")
        return deleted

    def add_files(
        self, collection_id: str, files: Sequence[LocalFile], tags: Sequence[str]
    ) -> Iterator[Event]:
        """Send a group of files; closing the iterator cancels what is not added yet."""

        def send() -> Iterator[Event]:
            with ExitStack() as stack:
                parts = [("files", (file.name, stack.enter_context(file.path.open("rb")))) for file in files]
                yield from self._stream(
                    f"collections/{collection_id}/documents", files=parts, data={"tags": list(tags)}
                )

        return _patiently(send)

    def add_urls(self, collection_id: str, urls: Sequence[str], tags: Sequence[str]) -> Iterator[Event]:
        """Have web pages fetched."""
        given = {"urls": list(urls), "tags": list(tags)}
        return _patiently(lambda: self._stream(f"collections/{collection_id}/documents", json=given))

    def reindex(self, collection_id: str) -> Iterator[Event]:
        """Embed a collection again."""
        return _patiently(lambda: self._stream(f"collections/{collection_id}/reindex"))

    def _call(self, method: str, path: str, content: object = None) -> Any:
        try:
            answer = self._http.request(method, path, json=content)
        except httpx.HTTPError as error:
            raise _lost(error) from error
        _judge(answer)
        return answer.json()

    def _stream(self, path: str, **content: Any) -> Iterator[Event]:
        headers = {"accept": "application/x-ndjson"}
        try:
            with self._http.stream("POST", path, headers=headers, **content) as answer:
                if answer.is_error:
                    answer.read()
                _judge(answer)
                for line in answer.iter_lines():
                    event = json.loads(line)
                    if "error" in event:
                        raise InputError(event["error"]["message"])
                    yield event
        except httpx.HTTPError as error:
            raise _lost(error) from error


def files_in(paths: Iterable[Path]) -> Iterator[LocalFile]:
    """Every file in `paths`, folders walked, hidden files and links in them left out.

    Raises:
        InputError: a path that does not exist, or is neither file nor folder.
    """
    for given in paths:
        path = given.expanduser()
        if path.is_dir():
            yield from _walked(path.resolve())
        elif path.is_file():
            yield LocalFile(path.name, path, path.stat().st_size)
        else:
            raise InputError(f"There is no file or folder {str(given)!r}.", "Check the path.")


def grouped(files: Iterable[LocalFile]) -> Iterator[list[LocalFile]]:
    """Groups that fit in one request; a large file goes alone."""
    group: list[LocalFile] = []
    n_bytes = 0
    for file in files:
        if group and (len(group) == GROUP_FILES or n_bytes + file.size_bytes > GROUP_BYTES):
            yield group
            group, n_bytes = [], 0
        group.append(file)
        n_bytes += file.size_bytes
    if group:
        yield group


def _walked(folder: Path) -> Iterator[LocalFile]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(names):
            path = Path(root) / name
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield LocalFile(path.relative_to(folder.parent).as_posix(), path, path.stat().st_size)


def _patiently(send: Any) -> Iterator[Event]:
    """Wait where the door says that it is busy; nothing has been done then."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            yield from send()
        except (StageBusy, StageUnavailable) as error:
            if time.monotonic() > deadline:
                raise
            time.sleep(error.retry_after_s or _RETRY_S)
        else:
            return


def _judge(answer: httpx.Response) -> None:
    if not answer.is_error:
        return
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"Raydio answered with status {answer.status_code}."
    if answer.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
        wait_s = answer.headers.get("retry-after", "")
        raise StageBusy("ingest", message, "", float(wait_s) if wait_s.isdigit() else None)
    raise InputError(message)


def _lost(error: httpx.HTTPError) -> InputError | NotRunning:
    if isinstance(error, httpx.ConnectError):
        return NotRunning("Raydio does not answer.", "See what it does: raydio status.")
    return InputError(
        f"The connection to Raydio broke off: {type(error).__name__}.", "Run the command again."
    )
