"""The floor of row 8 on real engines: the same engine classes in one process, called in turn.

`python -m benchmarks.servers.voice_engines WAV`, a question at 16 kHz; then a line `clause` or `whole` on
stdin is answered with a line of milliseconds on stdout. `clause`: stt of the question, llm to the answer's
first clause, tts of that clause to its first sound. `whole`: llm to the end of a long answer, tts of all of
it to its first sound.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.voice_prompts import LONG_QUESTION, MAX_TOKENS
from serve_apps import media
from serve_apps.args import LlmArgs, SttArgs, TtsArgs
from serve_apps.contracts import LlmEngine, SttEngine, TtsEngine
from serve_apps.engines import engine_class
from serve_apps.speech_text import ClauseSplitter
from serve_apps.turns import prompt
from serve_apps.wire import ChatRequest, LlmDelta, Message, Samples, SpeakRequest, SttOptions


class Engines:
    """The three of them, loaded."""

    def __init__(self) -> None:
        self._stt: SttEngine = engine_class("stt", SttArgs().engine)(SttArgs())
        self._llm: LlmEngine = engine_class("llm", LlmArgs().engine)(LlmArgs())
        self._tts: TtsEngine = engine_class("tts", TtsArgs().engine)(TtsArgs())

    async def clause(self, question: Samples) -> None:
        """As far as the first sound of the answer."""
        segments = self._stt.transcribe(question, SttOptions())
        text = " ".join(segment.text.strip() for segment in segments)
        self._sound(await self._first_clause(text))

    async def whole(self) -> None:
        """As far as the first sound of an answer that is spoken when it is written."""
        self._sound("".join([text async for text in self._answer(LONG_QUESTION)]))

    async def _first_clause(self, text: str) -> str:
        splitter = ClauseSplitter()
        answer = self._answer(text)
        try:
            async for delta in answer:
                for clause in splitter.feed(delta):
                    if clause.spoken:
                        return clause.spoken
        finally:
            await answer.aclose()
        return splitter.finish()[0].spoken

    async def _answer(self, text: str) -> AsyncGenerator[str, None]:
        messages = (Message(role="system", content=prompt("voice")), Message(role="user", content=text))
        request = ChatRequest(messages=messages, max_tokens=MAX_TOKENS, temperature=0)
        async for event in self._llm.stream_chat(request):
            if isinstance(event, LlmDelta):
                yield event.text

    def _sound(self, text: str) -> None:
        pieces = self._tts.speak(SpeakRequest(text=text))
        next(pieces)
        pieces.close()


async def main(question: Path) -> None:
    heard = media.read(question).samples
    engines = Engines()
    calls = {"clause": lambda: engines.clause(heard), "whole": engines.whole}
    await engines.clause(heard)
    _write("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        started = time.perf_counter()
        await calls[line.strip()]()
        _write(f"{(time.perf_counter() - started) * 1000}")


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
