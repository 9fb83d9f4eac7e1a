"""Fetches a page or file from the web, within limits, to be read like any other document."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio
import httpx

from serve_apps.args import IngestArgs
from serve_apps.errors import AddressRefused, DocumentTooLarge, DocumentUnreadable
from serve_apps.ingestion.web_addresses import AddressRules, Destination

MAX_REDIRECTS = 5
MAX_NAME_CHARACTERS = 200
PIECE_BYTES = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_CONNECT_TIMEOUT_S = 10.0
_HEADERS = {
    "user-agent": "Mozilla/5.0 (compatible; Raydio)",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "accept-encoding": "gzip",
}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_SUFFIXES = {
    "text/html": (".html", ".htm"),
    "application/xhtml+xml": (".html", ".htm", ".xhtml"),
    "application/pdf": (".pdf",),
    "application/epub+zip": (".epub",),
    "text/markdown": (".md", ".markdown"),
    "text/csv": (".csv",),
    f"{_OFFICE}.wordprocessingml.document": (".docx",),
    f"{_OFFICE}.presentationml.presentation": (".pptx",),
    f"{_OFFICE}.spreadsheetml.sheet": (".xlsx",),
    "audio/mpeg": (".mp3",),
    "audio/wav": (".wav",),
    "audio/x-wav": (".wav",),
    "audio/ogg": (".ogg", ".opus"),
    "audio/flac": (".flac",),
    "audio/mp4": (".m4a",),
    "application/zip": (".zip",),
}
"""What a name must end in for its media type; the first is put there where none is."""
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file from the web."""

    name: str
    """Made from the URL: fetching it again replaces the document."""
    media_type: str
    n_bytes: int


class WebFetcher:
    """Follows a URL to a file.

    Args:
        args: limits.
        rules: where it may lead; by default what `args` say.
        tls: which certificates are trusted; by default those of public authorities.
    """

    def __init__(
        self, args: IngestArgs, rules: AddressRules | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._args = args
        self._tls = tls
        self._rules = rules or AddressRules(private_addresses=args.private_addresses)

    async def fetch(self, url: str, into: Path, progress: Progress) -> Fetched:
        """Write what is at `url` to `into`; `progress` hears shares from 0 to 1, where the length is known.

        Raises:
            AddressRefused: it, or where it leads, may not be fetched, or gives no file.
            DocumentTooLarge: more bytes than allowed, packed or unpacked, or it takes too long.
            DocumentUnreadable: sent in an encoding that was not asked for.
        """
        try:
            async with asyncio.timeout(self._args.fetch_timeout_s), AsyncExitStack() as stack:
                client = await stack.enter_async_context(_client(self._tls))
                response = await self._followed(client, stack, url)
                n_bytes = await self._saved(response, into, progress)
        except TimeoutError as error:
            raise DocumentTooLarge(
                f"Fetching took longer than {self._args.fetch_timeout_s:g} s.", "Download the file yourself."
            ) from error
        except httpx.HTTPError as error:
            raise AddressRefused(
                f"The site broke off: {type(error).__name__}.", "Try again, or download the file yourself."
            ) from error
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Fetched(name=name_of(url, media_type), media_type=media_type, n_bytes=n_bytes)

    async def _followed(self, client: httpx.AsyncClient, stack: AsyncExitStack, url: str) -> httpx.Response:
        for _ in range(MAX_REDIRECTS + 1):
            destination = await self._rules.admit(url)
            response = await _asked(client, destination)
            stack.push_async_callback(response.aclose)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return _checked(response, destination)
            url = _joined(destination.url, location)
        raise AddressRefused(
            f"This URL redirects more than {MAX_REDIRECTS} times.", "Use the address where it ends."
        )

    async def _saved(self, response: httpx.Response, into: Path, progress: Progress) -> int:
        announced = int(length) if (length := response.headers.get("content-length", "")).isdigit() else 0
        self._judge_size(announced)
        n_bytes = 0
        async with await anyio.open_file(into, "wb") as file:
            async for piece in _unpacked(response):
                n_bytes += len(piece)
                self._judge_size(n_bytes)
                await file.write(piece)
                progress(min(1.0, n_bytes / announced) if announced else 0.0)
        return n_bytes

    def _judge_size(self, n_bytes: int) -> None:
        if n_bytes > self._args.max_file_mb * 2**20:
            raise DocumentTooLarge(
                f"The file is larger than {self._args.max_file_mb} MiB.", "Use a smaller one."
            )


def _client(tls: ssl.SSLContext | None) -> httpx.AsyncClient:
    # No proxies from the environment: one would resolve names again, unseen by the rules.
    return httpx.AsyncClient(
        trust_env=False, timeout=_CONNECT_TIMEOUT_S, headers=_HEADERS, verify=True if tls is None else tls
    )


async def _asked(client: httpx.AsyncClient, destination: Destination) -> httpx.Response:
    """The answer of the first address that takes the connection; the name goes into TLS and `Host` only."""
    for address in destination.addresses:
        request = client.build_request(
            "GET",
            destination.url.copy_with(host=address),
            headers={"host": destination.url.netloc.decode("ascii")},
            extensions={"sni_hostname": destination.host},
        )
        try:
            return await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
    raise AddressRefused(f"{destination.host} does not answer.", "Check the address.") from failure


def _checked(response: httpx.Response, destination: Destination) -> httpx.Response:
    if response.status_code != httpx.codes.OK:
        raise AddressRefused(
            f"{destination.host} answered with status {response.status_code}.",
            "Open the address in a browser to see why.",
        )
    return response


def _joined(url: httpx.URL, location: str) -> str:
    try:
        return str(url.join(location))
    except httpx.InvalidURL as error:
        raise AddressRefused("The site redirects to something that is no URL.") from error


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body, a bounded piece at a time: a small packet may unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw(PIECE_BYTES):
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DocumentUnreadable(
            f"The site sends the file packed as {encoding[:40]!r}.", "Download it yourself."
        )
    inflater = zlib.decompressobj(wbits=47)  # gzip or zlib, as its header says
    try:
        async for chunk in response.aiter_raw(PIECE_BYTES):
            rest = chunk
            while rest and not inflater.eof:
                yield inflater.decompress(rest, PIECE_BYTES)
                rest = inflater.unconsumed_tail
    except zlib.error as error:
        raise DocumentUnreadable(
            "The site's packing of the file is broken.", "Download it yourself."
        ) from error


def name_of(url: str, media_type: str) -> str:
    """What a document fetched from `url` is called: host and path, ending as its media type does."""
    parsed = httpx.URL(url.strip())
    query = f"?{parsed.query.decode('ascii')}" if parsed.query else ""
    name = f"{parsed.host}{parsed.path}".rstrip("/")
    name = f"{name}{query}"[:MAX_NAME_CHARACTERS]
    suffixes = _SUFFIXES.get(media_type, ())
    if not suffixes or PurePosixPath(name).suffix.lower() in suffixes:
        return name
    return name + suffixes[0]
