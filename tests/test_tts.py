"""The tts stage: early first chunk, back-pressure, cancel, limits."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import aclosing

import numpy as np
import pytest

from serve_apps.args import TtsArgs
from serve_apps.errors import (
    EmptyInput,
    InputError,
    StageBusy,
    StageFailed,
    TextTooLong,
    UnknownName,
    UnsupportedOption,
)
from serve_apps.tts import N_SPEAKERS, TtsStage
from serve_apps.wire import Audio, SpeakRequest
from tests.fake_engines.tts import ToneTts, tone


def stage(engine: str = "tests.fake_engines.tts:ToneTts", **args: object) -> TtsStage:
    return TtsStage(TtsArgs.model_validate({"engine": engine, **args}))


def engine_of(of: TtsStage) -> ToneTts:
    assert isinstance(of._engine, ToneTts)
    return of._engine


async def speak(of: TtsStage, text: str, **options: object) -> list[Audio]:
    request = SpeakRequest(text=text, **options)  # type: ignore[arg-type]
    return [chunk async for chunk in of.stream_speak(request)]


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.001)


async def test_chunks_join_to_what_the_engine_said() -> None:
    chunks = await speak(stage(), "Hello, world")
    said = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_array_equal(said, np.concatenate([tone(c, 1, 1.0, 16_000) for c in "Hello, world"]))
    assert {chunk.rate_hz for chunk in chunks} == {16_000}


async def test_chunks_start_short_and_grow() -> None:
    durations = [chunk.duration_s for chunk in await speak(stage(), "x" * 500)]
    assert durations[0] <= 0.06
    assert durations[1] == pytest.approx(0.2)
    assert max(durations) == pytest.approx(0.5)
    assert sum(durations) == pytest.approx(10.0)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.7])
async def test_words_stay_with_the_sound_in_which_they_begin(speed: float) -> None:
    text = "one two, three four? five-six " * 40
    at_s, heard = 0.0, []
    for chunk in await speak(stage(), text, speed=speed):
        assert all(0 <= word.start_s < chunk.duration_s for word in chunk.words)
        heard += [(word.text, word.start_s + at_s, word.end_s + at_s) for word in chunk.words]
        at_s += chunk.duration_s
    mute = text.replace("?", "")
    one_s = round(0.02 * 16_000 / speed) / 16_000
    assert [word for word, _, _ in heard] == mute.split()
    starts_s = [match.start() * one_s for match in re.finditer(r"\S+", mute)]
    assert [start_s for _, start_s, _ in heard] == pytest.approx(starts_s, abs=1e-6)
    assert [end_s - start_s for _, start_s, end_s in heard] == pytest.approx(
        [len(word) * 0.02 / speed for word in mute.split()]
    )


async def test_a_slow_caller_holds_the_engine_back() -> None:
    of = stage()
    engine = engine_of(of)
    async with aclosing(of.stream_speak(SpeakRequest(text="x" * 50_000))) as chunks:
        heard_s = 0.0
        for _ in range(4):
            heard_s += (await anext(chunks)).duration_s
        await until(lambda: engine.n_pieces * 0.02 >= heard_s)
        assert engine.n_pieces * 0.02 <= heard_s + 1.1


async def test_closing_the_stream_stops_the_engine() -> None:
    of = stage()
    engine = engine_of(of)
    async with aclosing(of.stream_speak(SpeakRequest(text="x" * 50_000))) as chunks:
        await anext(chunks)
    await until(lambda: engine.n_closed == 1)
    assert engine.n_finished == 0
    assert (await of.describe()).n_running == 0
    assert (await of.describe()).n_failures == 0


async def test_cancelling_the_caller_stops_the_engine() -> None:
    of = stage()
    engine = engine_of(of)
    task = asyncio.create_task(speak(of, "x" * 90_000))
    await until(lambda: engine.n_pieces > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: engine.n_closed == 1)


@pytest.mark.parametrize("text", ["", "  \n\t", "\x00\x01", "\u200b"])
async def test_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(EmptyInput):
        await speak(stage(), text)


async def test_text_without_a_sound_is_a_short_silence() -> None:
    (chunk,) = await speak(stage(), "???")
    assert chunk.duration_s == pytest.approx(0.2)
    assert not chunk.samples.any()


async def test_huge_text_is_refused_at_once_with_the_numbers() -> None:
    of, text = stage(), "x" * 50_000_000
    started = time.perf_counter()
    with pytest.raises(TextTooLong, match="50,000,000 characters; the limit is 100,000"):
        await speak(of, text)
    assert time.perf_counter() - started < 0.1
    assert engine_of(of).requests == []


@pytest.mark.parametrize("speed", [0.49, 3.01, -1.0, float("nan"), float("inf")])
async def test_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(InputError, match="speed"):
        await speak(stage(), "hi", speed=speed)


async def test_pitch_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="pitch"):
        await speak(stage(), "hi", pitch=2.1)


async def test_unknown_voice_comes_back_as_it_is() -> None:
    with pytest.raises(UnknownName, match="nobody"):
        await speak(stage(), "hi", voice="nobody")


async def test_a_reference_clip_needs_an_engine_that_can_clone() -> None:
    clip = Audio(samples=np.zeros(16_000, np.float32), rate_hz=16_000)
    with pytest.raises(UnsupportedOption):
        await speak(stage(), "hi", reference=clip)
    of = stage(engine_options={"can_clone": True})
    assert await speak(of, "hi", reference=clip)


async def test_an_engine_failure_becomes_a_stage_failure_after_what_was_said() -> None:
    of = stage(engine_options={"fail_at": "!"})
    stream = of.stream_speak(SpeakRequest(text="x" * 100 + "!"))
    assert (await anext(stream)).duration_s > 0
    with pytest.raises(StageFailed, match="the tone broke"):
        [chunk async for chunk in stream]
    assert (await of.describe()).n_failures == 1


async def test_a_full_queue_sheds() -> None:
    of = stage(max_waiting=0)
    streams = [of.stream_speak(SpeakRequest(text="x" * 1000)) for _ in range(N_SPEAKERS)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(StageBusy) as shed:
        await speak(of, "hi")
    assert shed.value.retry_after_s
    for stream in streams:
        await stream.aclose()
    assert await speak(of, "hi")


async def test_describe_counts_and_times() -> None:
    of = stage()
    await speak(of, "hi")
    report = await of.describe()
    assert (report.n_requests, report.n_running, report.n_failures) == (1, 0, 0)
    assert report.last_first_output_ms is not None
    assert report.card.model == "Tone"


async def test_voices_come_default_first() -> None:
    assert [voice.id for voice in await stage().voices()] == ["low", "high"]


# ---- on the real default engine


async def test_espeak_speaks_early_through_the_stage() -> None:
    of = stage("espeak")
    await speak(of, "Warm up.")
    started = time.perf_counter()
    async with aclosing(of.stream_speak(SpeakRequest(text="Hello there, my friend. " * 400))) as chunks:
        await anext(chunks)
        assert time.perf_counter() - started < 0.25  # typically 2 ms; the machine may be busy


async def test_espeak_tells_its_words_through_the_stage() -> None:
    chunks = await speak(stage("espeak"), "Hello there, my friend. How are you today?")
    assert [w.text for chunk in chunks for w in chunk.words] == [
        "Hello", "there", "my", "friend", "How", "are", "you", "today",
    ]  # fmt: skip


async def test_two_callers_of_espeak_take_turns() -> None:
    of = stage("espeak")
    async with aclosing(of.stream_speak(SpeakRequest(text="A long story. " * 7000))) as long:
        await anext(long)
        short = await asyncio.wait_for(speak(of, "Excuse me."), 5)
        assert sum(chunk.duration_s for chunk in short) > 0.3


async def test_espeak_stops_when_its_caller_leaves() -> None:
    of = stage("espeak")
    task = asyncio.create_task(speak(of, "word " * 20_000))
    await until(lambda: of._meter.n_running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.wait_for(speak(of, "Next."), 5)
