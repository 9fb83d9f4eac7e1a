"""A web server on this machine that answers what a test wants."""

from __future__ import annotations

import asyncio


async def loopback(_host: str, _port: int) -> list[str]:
    """A resolver for which every name is this machine."""
    return ["127.0.0.1"]


class Site:
    """A web server on loopback that answers paths with raw bytes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.port = 0
        self.stuck = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        path = head.split()[1]
        writer.write(self.answers.get(path, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"))
        await writer.drain()
        if path == "/stuck":
            await self.stuck.wait()
        writer.close()

    def says(self, path: str, body: bytes, *headers: str) -> None:
        lines = ["HTTP/1.1 200 OK", f"content-length: {len(body)}", *headers]
        self.answers[path] = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def redirects(self, path: str, to: str) -> None:
        self.answers[path] = f"HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()
