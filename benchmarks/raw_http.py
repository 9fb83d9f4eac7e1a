"""HTTP/1.1 over one kept connection, with as little between the socket and the clock as Python allows.

A client library would take longer for a request than the systems under test do.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: ?(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a system answers."""

    url: str
    """Scheme, host, port and, for a page, its path without a slash at the end."""
    token: str = ""
    model: str = "mock"

    @property
    def headers(self) -> dict[str, str]:
        """The credential, for clients that take headers."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def page(self, path: str) -> Target:
        """The same system at another path."""
        return Target(url=self.url + path, token=self.token, model=self.model)


class Connection:
    """One kept connection to one system."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or 80)
        self._path = parts.path
        self._head = f"Host: {parts.netloc}\r\nOrigin: http://{parts.netloc}\r\n"
        self._head += "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address, limit=2**24)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request; the answer is read by one of the others."""
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        await self._writer.drain()

    async def head(self) -> bytes:
        """The status line and headers.

        Raises:
            ConnectionError: the status is not 200.
        """
        head = await self._reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            rest = await asyncio.wait_for(self._reader.read(2000), 5)
            raise ConnectionError(f"{self._address} answered {head!r}{rest!r}")
        return head

    async def some(self) -> bytes:
        """What has arrived of a body, chunk marks included.

        Raises:
            ConnectionError: the other side closed the connection.
        """
        part = await self._reader.read(2**20)
        if not part:
            raise ConnectionError(f"{self._address} closed the stream")
        return part

    async def body(self, head: bytes) -> bytes:
        """The whole body of the answer that `head` begins."""
        length = _LENGTH.search(head)
        if length is not None:
            return await self._reader.readexactly(int(length[1]))
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send a request and read its whole answer."""
        await self.send(method, path, body)
        return await self.body(await self.head())
