"""A chat-completions client that costs next to nothing: it counts bytes instead of parsing events."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

import orjson

from benchmarks.mock_engine import TOKEN
from benchmarks.raw_http import Connection, Target

PROMPT = "Count from one to two hundred in words, one number after the other, without stopping."
_PATH = "/v1/chat/completions"
_FIRST_TEXT = re.compile(rb'"content": ?"[^"]')
_USAGE = re.compile(rb'"completion_tokens": ?(\d+)')
_END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one request took."""

    first_ms: float
    """To the first text; for a whole answer, to its end."""
    n_tokens: int


async def stream(connection: Connection, model: str, n_tokens: int) -> Answer:
    """One streamed answer, timed to its first text."""
    started = time.perf_counter()
    await connection.send("POST", _PATH, _request(model, n_tokens, stream=True))
    await connection.head()
    received, first = bytearray(), 0.0
    while not received.endswith(_END):
        received += await connection.some()
        if not first and _FIRST_TEXT.search(received):
            first = time.perf_counter()
    return Answer(first_ms=(first - started) * 1000, n_tokens=_tokens(bytes(received)))


async def whole(connection: Connection, model: str, n_tokens: int) -> Answer:
    """One answer that is not streamed."""
    started = time.perf_counter()
    body = await connection.ask("POST", _PATH, _request(model, n_tokens, stream=False))
    return Answer(first_ms=(time.perf_counter() - started) * 1000, n_tokens=_tokens(body))


def _request(model: str, n_tokens: int, *, stream: bool) -> bytes:
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": n_tokens,
        "temperature": 0,
        "stream": stream,
    }
    if stream:
        body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def _tokens(received: bytes) -> int:
    """Tokens in a body: the mock's are counted, a real engine's are as billed."""
    usage = _USAGE.findall(received)
    return received.count(TOKEN.encode()) or (int(usage[-1]) if usage else 0)


def first_text_ms(target: Target, n_requests: int, n_tokens: int = 16) -> list[float]:
    """Times to the first streamed text, one request after the other on one connection."""

    async def run() -> list[float]:
        async with Connection(target) as connection:
            await stream(connection, target.model, n_tokens)
            return [(await stream(connection, target.model, n_tokens)).first_ms for _ in range(n_requests)]

    return asyncio.run(run())


def whole_ms(target: Target, n_requests: int, n_tokens: int = 16) -> list[float]:
    """Times of whole answers, one request after the other on one connection."""

    async def run() -> list[float]:
        async with Connection(target) as connection:
            await whole(connection, target.model, n_tokens)
            return [(await whole(connection, target.model, n_tokens)).first_ms for _ in range(n_requests)]

    return asyncio.run(run())


def tokens_per_s(target: Target, n_streams: int, n_tokens: int) -> float:
    """Tokens of `n_streams` streams at once, over the time until the last of them ends."""

    async def one() -> int:
        async with Connection(target) as connection:
            return (await stream(connection, target.model, n_tokens)).n_tokens

    async def run() -> float:
        started = time.perf_counter()
        counts = await asyncio.gather(*(one() for _ in range(n_streams)))
        return sum(counts) / (time.perf_counter() - started)

    return asyncio.run(run())
