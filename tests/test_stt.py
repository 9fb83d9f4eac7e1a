from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise

import numpy as np
import pytest

from serve_apps import media
from serve_apps.args import SttArgs
from serve_apps.errors import (
    AudioTooLong,
    AudioUnreadable,
    EmptyInput,
    StageBusy,
    StageFailed,
    UnknownName,
    UnsupportedOption,
)
from serve_apps.settings import ASSETS
from serve_apps.stt import SttStage
from serve_apps.wire import Audio, SttOptions
from tests.fake_engines.stt import EchoStt, GatedStt


def stage(**args: object) -> SttStage:
    """A stage that takes every sound for speech."""
    return SttStage(SttArgs.model_validate({"vad_threshold": 0.0, **args}), EchoStt)


def quiet(duration_s: float, rate_hz: int = 16_000) -> Audio:
    return Audio(samples=np.zeros(round(duration_s * rate_hz), np.float32), rate_hz=rate_hz)


def sample() -> Audio:
    return media.read(ASSETS / "samples" / "announcement.ogg")


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 96_000])
async def test_any_rate_is_heard_in_full(rate_hz: int) -> None:
    heard = await stage().transcribe(quiet(3.0, rate_hz), SttOptions())
    assert heard.text == "heard 3.0 seconds"
    assert (heard.language, heard.duration_s) == ("en", pytest.approx(3.0))


async def test_long_audio_is_heard_in_windows_with_growing_updates() -> None:
    updates = [u async for u in stage().stream_transcribe(quiet(25.0), SttOptions(words=True))]
    assert [u.final for u in updates] == [False] * (len(updates) - 1) + [True]
    assert [len(u.transcript.segments) for u in updates] == [1, 2, 3, 4][: len(updates)]
    assert all(a.done_s < b.done_s for a, b in pairwise(updates))
    assert updates[-1].done_s == 25.0
    segments = updates[-1].transcript.segments
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in pairwise(segments))
    assert segments[-1].words[-1].end_s == pytest.approx(25.0)


async def test_nobody_speaks_in_silence_and_noise() -> None:
    listening = SttStage(SttArgs(), EchoStt)
    noise = np.random.default_rng(0).standard_normal(160_000).astype(np.float32) * 0.1
    for audio in (quiet(10.0), Audio(samples=noise, rate_hz=16_000)):
        updates = [u async for u in listening.stream_transcribe(audio, SttOptions())]
        assert [(u.final, u.transcript.segments, u.done_s) for u in updates] == [(True, (), 10.0)]
    assert (await listening.describe()).n_failures == 0


async def test_speech_is_found_between_silences() -> None:
    speech = sample().samples
    pause = np.zeros(16_000 * 5, np.float32)
    audio = Audio(samples=np.concatenate([pause, speech, pause]), rate_hz=16_000)
    heard = await SttStage(SttArgs(), EchoStt).transcribe(audio, SttOptions())
    assert heard.segments[0].start_s == pytest.approx(5.0, abs=0.4)
    assert heard.segments[-1].end_s == pytest.approx(5 + len(speech) / 16_000, abs=0.8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
async def test_broken_samples_do_no_harm(value: float) -> None:
    broken = sample().samples.copy()
    broken[1000:2000] = value
    heard = await SttStage(SttArgs(), EchoStt).transcribe(Audio(samples=broken, rate_hz=16_000), SttOptions())
    assert heard.segments


async def test_read_only_samples_are_heard() -> None:
    audio = quiet(1.0)
    audio.samples.flags.writeable = False
    assert (await stage().transcribe(audio, SttOptions())).segments


async def test_bad_input_is_named() -> None:
    listening = stage(max_audio_s=5.0)
    with pytest.raises(EmptyInput):
        await listening.transcribe(quiet(0.0), SttOptions())
    with pytest.raises(AudioTooLong, match="6 seconds"):
        await listening.transcribe(quiet(6.0), SttOptions())
    with pytest.raises(AudioUnreadable, match="not mono"):
        await listening.transcribe(Audio(samples=np.zeros((2, 9), np.float32), rate_hz=9), SttOptions())
    with pytest.raises(AudioUnreadable):
        await listening.transcribe(Audio(samples=np.zeros(9, np.float32), rate_hz=0), SttOptions())
    with pytest.raises(UnknownName, match=r"'tlh'.*It knows en"):
        await listening.transcribe(quiet(1.0), SttOptions(language="tlh"))


@pytest.mark.parametrize("language", ["en", "EN", "en-GB", "en_US", "", None])
async def test_languages_are_known_by_their_codes(language: str | None) -> None:
    assert (await stage().transcribe(quiet(1.0), SttOptions(language=language))).language == "en"


async def test_a_language_may_be_left_to_an_engine_with_several() -> None:
    several = stage(engine_options={"languages": ["de", "en"]})
    assert (await several.transcribe(quiet(1.0), SttOptions())).language == "en"
    assert (await several.transcribe(quiet(1.0), SttOptions(language="de"))).language == "de"


async def test_what_the_engine_raises_reaches_the_caller_and_counts() -> None:
    failing = stage(engine_options={"fail": True})
    with pytest.raises(StageFailed, match="fails on request"):
        await failing.transcribe(quiet(1.0), SttOptions())
    report = await failing.describe()
    assert (report.n_requests, report.n_failures, report.n_running, report.n_waiting) == (1, 1, 0, 0)


async def test_the_report_knows_first_output_and_duration() -> None:
    listening = stage()
    await listening.transcribe(quiet(1.0), SttOptions())
    report = await listening.describe()
    assert report.last_duration_ms is not None
    assert report.last_first_output_ms is not None
    assert report.last_first_output_ms <= report.last_duration_ms


async def gated(max_waiting: int = 32) -> tuple[SttStage, GatedStt]:
    listening = SttStage(SttArgs(vad_threshold=0.0, max_waiting=max_waiting), GatedStt)
    return listening, GatedStt.last


async def entered(engine: GatedStt) -> None:
    assert await asyncio.to_thread(engine.entered.acquire, timeout=30)


async def test_a_closed_stream_stops_the_engine_after_its_window() -> None:
    listening, engine = await gated()
    engine.gate.release()
    async with aclosing(listening.stream_transcribe(quiet(60.0), SttOptions())) as updates:
        await anext(updates)
    engine.gate.release(100)
    await listening.transcribe(quiet(1.0), SttOptions())
    assert engine.n_calls == 2


async def test_a_cancelled_call_stops_the_engine_after_its_window() -> None:
    listening, engine = await gated()
    call = asyncio.create_task(listening.transcribe(quiet(60.0), SttOptions()))
    await entered(engine)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    engine.gate.release(100)
    await listening.transcribe(quiet(1.0), SttOptions())
    assert engine.n_calls == 2
    assert (await listening.describe()).n_failures == 0


async def test_too_many_callers_are_shed() -> None:
    listening, engine = await gated(max_waiting=1)
    calls = [asyncio.create_task(listening.transcribe(quiet(1.0), SttOptions())) for _ in range(2)]
    await entered(engine)
    report = await listening.describe()
    assert (report.n_running, report.n_waiting) == (2, 1)
    with pytest.raises(StageBusy) as shed:
        await listening.transcribe(quiet(1.0), SttOptions())
    assert shed.value.retry_after_s is not None
    assert shed.value.retry_after_s >= 1
    engine.gate.release(2)
    assert [c.text for c in await asyncio.gather(*calls)] == ["heard 1.0 seconds"] * 2
    assert (await listening.describe()).n_waiting == 0


async def test_callers_take_turns_a_window_at_a_time() -> None:
    listening, engine = await gated()
    long = asyncio.create_task(listening.transcribe(quiet(60.0), SttOptions()))
    await entered(engine)
    short = asyncio.create_task(listening.transcribe(quiet(1.0), SttOptions()))
    await asyncio.sleep(0)
    engine.gate.release(4)
    assert (await short).text == "heard 1.0 seconds"
    assert not long.done()
    engine.gate.release(100)
    await long


async def test_the_loop_stays_free_while_the_engine_works() -> None:
    listening, engine = await gated()
    call = asyncio.create_task(listening.transcribe(quiet(1.0), SttOptions()))
    await entered(engine)
    await asyncio.wait_for(listening.check_health(), timeout=5)
    engine.gate.release()
    await call


async def test_a_hanging_engine_is_unhealthy() -> None:
    listening = stage()
    await listening.check_health()
    listening._call_started = float("-inf")
    with pytest.raises(StageFailed, match="has not answered"):
        await listening.check_health()


async def test_moonshine_hears_the_announcement() -> None:
    listening = SttStage(SttArgs())
    heard = await listening.transcribe(sample(), SttOptions(words=True))
    assert "the meeting is on tuesday" in heard.text.lower()
    assert heard.segments[-1].end_s <= heard.duration_s + 0.1
    assert all(segment.words for segment in heard.segments)


async def test_moonshine_without_alignment_says_so() -> None:
    with pytest.raises(UnsupportedOption):
        await SttStage(SttArgs(align_words=False)).transcribe(sample(), SttOptions(words=True))
