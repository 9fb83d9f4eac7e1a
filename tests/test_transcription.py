from __future__ import annotations

import asyncio
import io
import re
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serve_apps import media
from serve_apps.args import SttArgs
from serve_apps.errors import AudioUnreadable, EmptyInput, UnknownName
from serve_apps.samples import to_int16
from serve_apps.settings import ASSETS
from serve_apps.stt import SttStage
from serve_apps.transcription import BLOCK_S, stream_file
from serve_apps.wire import Audio, SttOptions, TranscriptUpdate
from tests.fake_clients import FakeStt
from tests.fake_engines.stt import EchoStt, GatedStt
from tests.recordings import TEXTS, recording

SAMPLE = ASSETS / "samples" / "announcement.ogg"


def echo() -> SttStage:
    return SttStage(SttArgs(vad_threshold=0.0), EchoStt)


def quiet_file(duration_s: float) -> io.BytesIO:
    samples = np.zeros(int(duration_s * 16_000), np.float32)
    return io.BytesIO(media.encode(Audio(samples=samples, rate_hz=16_000), "flac"))


async def heard(
    stt: SttStage, source: media.Source, options: SttOptions | None = None
) -> list[TranscriptUpdate]:
    return [update async for update in stream_file(stt, source, options or SttOptions())]


async def test_a_long_file_grows_block_by_block() -> None:
    updates = await heard(echo(), quiet_file(100.0), SttOptions(words=True))
    assert [u.final for u in updates] == [False] * (len(updates) - 1) + [True]
    assert all(a.done_s <= b.done_s for a, b in pairwise(updates))
    assert updates[-1].done_s == pytest.approx(100.0)
    segments = updates[-1].transcript.segments
    assert all(a.end_s == pytest.approx(b.start_s) for a, b in pairwise(segments))
    assert segments[-1].words[-1].end_s == pytest.approx(100.0)
    assert updates[-1].transcript.language == "en"


async def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "diary.mp3").write_text("Dear diary, nothing was said today. " * 100)
    with pytest.raises(EmptyInput):
        await heard(echo(), tmp_path / "empty.wav")
    with pytest.raises(AudioUnreadable):
        await heard(echo(), tmp_path / "diary.mp3")
    with pytest.raises(UnknownName):
        await heard(echo(), quiet_file(1.0), SttOptions(language="xx"))


async def test_silence_is_an_empty_transcript() -> None:
    updates = await heard(SttStage(SttArgs(), EchoStt), quiet_file(50.0))
    assert updates[-1].final
    assert updates[-1].transcript.segments == ()
    assert updates[-1].done_s == pytest.approx(50.0)


async def test_closing_stops_the_stage_and_the_decoder() -> None:
    stt = echo()
    async with aclosing(stream_file(stt, quiet_file(600.0), SttOptions())) as updates:
        await anext(updates)
    report = await stt.describe()
    assert (report.n_requests, report.n_running) == (1, 0)


async def test_a_cancel_during_a_block_stops_the_stage() -> None:
    stt = SttStage(SttArgs(vad_threshold=0.0), GatedStt)
    task = asyncio.create_task(heard(stt, quiet_file(600.0)))
    assert await asyncio.to_thread(GatedStt.last.entered.acquire, timeout=30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    GatedStt.last.gate.release(100)
    assert (await stt.describe()).n_running == 0
    await stt.transcribe(Audio(samples=np.zeros(16_000, np.float32), rate_hz=16_000), SttOptions())
    assert GatedStt.last.n_calls == 2


async def test_any_implementation_of_the_protocol_will_do() -> None:
    whole = media.encode(Audio(samples=np.ones(160_000, np.float32) * 0.1, rate_hz=16_000), "wav")
    updates = [u async for u in stream_file(FakeStt(), io.BytesIO(whole), SttOptions())]
    assert updates[-1].transcript.text == "the quick brown fox jumps over the lazy dog"


async def test_three_hours_of_mostly_silence(tmp_path: Path) -> None:
    """The words are found where they are, and no more than a block at a time is sent to the stage."""
    speech = media.read(SAMPLE, rate_hz=16_000).samples
    path = tmp_path / "long.flac"
    minute = np.zeros(60 * 16_000, np.int16)
    with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as file:
        for n in range(180):
            piece = minute.copy()
            if n in {0, 90, 179}:
                piece[: len(speech)] = to_int16(speech)
            file.write(piece)
    stt = SttStage(SttArgs(max_audio_s=BLOCK_S))
    final = (await heard(stt, path))[-1]
    assert final.done_s == pytest.approx(3 * 3600)
    assert final.transcript.text.lower().count("the meeting is on tuesday") == 3
    starts_s = [s.start_s for s in final.transcript.segments]
    assert {round(s / 60) for s in starts_s} == {0, 90, 179}


@pytest.mark.parametrize(("name", "worst"), [("beckett", 0.10), ("two_cities", 0.05)])
async def test_word_error_rate_on_people_reading(name: str, worst: float) -> None:
    final = (await heard(SttStage(SttArgs()), recording(name)))[-1]
    assert word_error_rate(TEXTS[name], final.transcript.text) <= worst


def word_error_rate(said: str, found: str) -> float:
    """Insertions, deletions and substitutions, per word said; case and punctuation do not count."""
    reference, hypothesis = (re.sub(r"[^a-z0-9' ]", " ", text.lower()).split() for text in (said, found))
    costs = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        before, costs = costs, [i]
        for j, other in enumerate(hypothesis, start=1):
            costs.append(min(before[j] + 1, costs[j - 1] + 1, before[j - 1] + (word != other)))
    return costs[-1] / len(reference)
