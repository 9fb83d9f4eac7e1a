"""The speech to text page: handlers, the endpoint for programs, and the page in a browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio.exceptions import Error as GradioError
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from serve_apps import media
from serve_apps.args import SttArgs
from serve_apps.errors import StageBusy, StageUnavailable
from serve_apps.stt import SttStage
from serve_apps.wire import Audio, ModelCard, Segment, StageReport, SttOptions, Transcript, Word
from tests.fake_clients import TRANSCRIPT, FakeStt, fake_clients
from tests.fake_engines.stt import EchoStt, GatedStt
from tests.ui_server import served
from ui.listener import FILES, Heard, Listener, endpoint, example
from ui.timed_text import clock, view

EVIL = "<img src=x onerror=document.title='evil'> {{value}} ${document.title='evil'} & more"
N_SHOWN = len(FILES) + 4
PROGRESS, TEXT, TIMED, FIRST_FILE, LAST = 0, 1, 2, 3, -1


def tone(folder: Path, duration_s: float, name: str = "tone.wav") -> Path:
    times_s = np.arange(int(duration_s * 16_000)) / 16_000
    samples = (0.2 * np.sin(1000 * times_s)).astype(np.float32)
    path = folder / name
    path.write_bytes(media.encode(Audio(samples=samples, rate_hz=16_000), path.suffix[1:]))
    return path


async def shown(listener: Listener, path: Path | None, words: bool = True) -> list[Sequence[Any]]:
    return [values async for values in listener.listen(str(path) if path else None, "", words)]


# ---- handlers --------------------------------------------------------------------------------------


async def test_text_streams_and_ends_with_times_and_files(tmp_path: Path) -> None:
    updates = await shown(Listener(FakeStt()), tone(tmp_path, 9.0))
    assert {len(values) for values in updates} == {N_SHOWN}
    texts = [values[TEXT] for values in updates]
    assert texts[0] == ""
    assert texts[-1] == TRANSCRIPT
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    told = r"Heard 0:0\d of 0:09, \d+ times real time, 0:0\d left"
    assert any(re.search(told, values[PROGRESS]) for values in updates)
    last = updates[-1]
    assert '<span data-at="0.00" data-to="1.00">the</span>' in last[TIMED]
    files = [Path(update["value"]) for update in last[FIRST_FILE:LAST]]
    assert [file.name for file in files] == ["tone.srt", "tone.vtt", "tone.txt", "tone.json"]
    assert files[0].read_text().startswith("1\n00:00:00,000 --> 00:00:02,000\nthe quick\n")


async def test_without_word_times_sentences_have_them(tmp_path: Path) -> None:
    updates = await shown(Listener(FakeStt()), tone(tmp_path, 9.0), words=False)
    assert "<span" not in updates[-1][TIMED]
    assert 'data-at="2.00"' in updates[-1][TIMED]


async def test_silence_says_so(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    path.write_bytes(media.encode(Audio(samples=np.zeros(80_000, np.float32), rate_hz=16_000), "wav"))
    last = (await shown(Listener(SttStage(SttArgs(), EchoStt)), path))[-1]
    assert "Nobody speaks in this recording (0:05 of sound)." in last[PROGRESS]
    assert (last[TEXT], last[TIMED]) == ("", "")
    assert not any(update["visible"] for update in last[FIRST_FILE:LAST])


async def test_a_file_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = tone(tmp_path, 9.0, "tone.flac")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    last = (await shown(Listener(FakeStt()), path))[-1]
    assert last[TEXT] == TRANSCRIPT
    assert "breaks off: it should be 0:09 long" in last[PROGRESS]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.wav", b"", "no bytes"),
        ("a.mp3", b"not sound, but words " * 99, "not an audio or video file"),
        (None, b"", "no recording yet"),
    ],
)
async def test_bad_files_are_errors_where_they_happen(
    tmp_path: Path, name: str | None, content: bytes, says: str
) -> None:
    path = tmp_path / name if name else None
    if path:
        path.write_bytes(content)
    with pytest.raises(GradioError, match=says):
        await shown(Listener(FakeStt()), path)


async def test_a_failure_in_the_middle_keeps_what_was_heard(tmp_path: Path) -> None:
    class Failing(FakeStt):
        async def stream_transcribe(self, audio: Audio, options: Any) -> Any:
            if self.requests:
                raise StageBusy("stt", "Too many recordings.", "Try again.")
            async for update in super().stream_transcribe(audio, options):
                yield update

    seen = []

    async def look() -> None:
        async for values in Listener(Failing()).listen(str(tone(tmp_path, 60.0)), "", words=False):
            seen.append(values)  # noqa: PERF401 (a comprehension would lose them with the error)

    with pytest.raises(GradioError, match="Too many recordings"):
        await look()
    assert seen[-1][TEXT] == TRANSCRIPT
    assert "Stopped at 0:" in seen[-1][PROGRESS]
    assert seen[-1][FIRST_FILE]["visible"]


async def test_nothing_is_left_behind_by_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "words.mp3").write_text("not sound")
    seen = []
    with pytest.raises(GradioError):  # noqa: PT012 (what was shown before counts)
        async for values in Listener(FakeStt()).listen(str(tmp_path / "words.mp3"), "", words=False):
            seen.append(values)  # noqa: PERF401
    assert seen[-1][PROGRESS] == ""


async def test_stop_offers_what_was_heard_and_ends_the_stage(tmp_path: Path) -> None:
    stt = SttStage(SttArgs(vad_threshold=0.0), GatedStt)
    engine, listener = GatedStt.last, Listener(stt)
    engine.gate.release()
    seen = []
    async for values in listener.listen(str(tone(tmp_path, 120.0, "long.flac")), "", words=False):
        seen.append(values)
        if values[TEXT]:
            await listener.stopped(values[LAST])
            engine.gate.release(100)
    assert "Stopped at 0:" in seen[-1][PROGRESS]
    assert seen[-1][FIRST_FILE]["visible"]
    assert (await stt.describe()).n_running == 0


async def test_a_slow_engine_does_not_hide_that_the_tab_was_closed(tmp_path: Path) -> None:
    """Gradio notices only when a handler yields."""
    stt = SttStage(SttArgs(vad_threshold=0.0), GatedStt)
    engine = GatedStt.last
    async with aclosing(Listener(stt).listen(str(tone(tmp_path, 9.0)), "", words=False)) as updates:
        told = [(await anext(updates))[PROGRESS] for _ in range(4)]
    engine.gate.release(100)
    assert len(set(told)) == 1
    assert "Listening" in told[0]


async def test_stop_before_anything_changes_nothing() -> None:
    await Listener(FakeStt()).stopped(None)


async def test_settings_show_what_the_engine_can_do() -> None:
    class Described(FakeStt):
        details: dict[str, str]

        async def describe(self) -> StageReport:
            report = await super().describe()
            card = ModelCard(
                stage="stt", engine="e", model="m", size_bytes=0, licence="", source="", details=self.details
            )
            return StageReport(**{name: getattr(report, name) for name in report.__slots__} | {"card": card})

    stt = Described()
    stt.details = {"languages": "en, de", "word times": "no"}
    languages, words = await Listener(stt).settings()
    assert languages["visible"]
    assert languages["choices"][1:] == ["en", "de"]
    assert (words["visible"], words["value"]) == (False, False)
    stt.details = {"languages": "en"}
    languages, words = await Listener(stt).settings()
    assert (languages["visible"], words["visible"]) == (False, True)
    stt.down = StageUnavailable("stt", "No replica.")
    assert len(await Listener(stt).settings()) == 2


async def test_the_endpoint_gives_text_segments_and_files(tmp_path: Path) -> None:
    text, transcript, files = await endpoint(FakeStt())(str(tone(tmp_path, 9.0)), "", True)  # noqa: FBT003
    assert text == transcript["text"] == TRANSCRIPT
    assert transcript["segments"][0]["words"][0] == {"text": "the", "start_s": 0.0, "end_s": 1.0}
    assert [Path(file).suffix for file in files] == [".srt", ".vtt", ".txt", ".json"]


async def test_the_endpoint_reads_a_real_file() -> None:
    text, transcript, _ = await endpoint(SttStage(SttArgs(), EchoStt))(example(), "", False)  # noqa: FBT003
    assert text.startswith("heard ")
    assert transcript["language"] == "en"


def test_what_was_said_cannot_be_markup() -> None:
    evil = '<img src=x onerror="alert(1)">'
    word = Word(text=evil, start_s=0, end_s=1)
    segments = (
        Segment(text=evil, start_s=0, end_s=1),
        Segment(text=evil, start_s=1, end_s=2, words=(word,)),
    )
    transcript = Transcript(segments=segments, language="en", duration_s=2)
    page = view(transcript, Path('/tmp/gradio/"><script>.wav'))
    assert "<img" not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("time_s", "text"), [(0, "0:00"), (59.9, "0:59"), (750, "12:30"), (10_800, "3:00:00")]
)
def test_times_for_people(time_s: float, text: str) -> None:
    assert clock(time_s) == text


def test_the_speed_of_a_recording_that_has_just_begun() -> None:
    assert Heard(recording=Path("a.wav"), length_s=1.0).speed == 0


# ---- the page --------------------------------------------------------------------------------------


def test_a_program_transcribes(tmp_path: Path) -> None:
    with (
        served(fake_clients(), "stt") as address,
        closing(Client(f"{address}/ui/stt/", verbose=False)) as client,
    ):
        sound = handle_file(str(tone(tmp_path, 9.0)))
        text, transcript, files = client.predict(sound, language="", words=True, api_name="/transcribe")
        assert text == TRANSCRIPT
        assert len(transcript["segments"]) == 5
        assert {Path(file).suffix for file in files} == {".srt", ".vtt", ".txt", ".json"}
        (tmp_path / "words.mp3").write_text("not sound")
        with pytest.raises(AppError, match="not an audio or video file"):
            client.predict(handle_file(str(tmp_path / "words.mp3")), api_name="/transcribe")


def test_what_was_said_is_text_in_a_browser(page: Page) -> None:
    class Evil(FakeStt):
        async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
            segments = (Segment(text=EVIL, start_s=0, end_s=1),)
            return Transcript(segments=segments, language=options.language or "", duration_s=audio.duration_s)

    with served(fake_clients(stt=Evil()), "stt") as address:
        page.goto(f"{address}/ui/stt/")
        page.get_by_role("button", name="A short announcement").click()
        expect(page.locator("#ray-timed li")).to_have_count(1)
        expect(page.get_by_label("Text", exact=True)).to_have_text(EVIL)
        expect(page.locator("#ray-timed p")).to_have_text(EVIL)
        assert "evil" not in page.title()
        assert page.locator("#ray-main img[src=x]").count() == 0


def test_an_example_in_a_browser(page: Page) -> None:
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    with served(fake_clients(), "stt") as address:
        page.goto(f"{address}/ui/stt/")
        copy = page.get_by_role("button", name="Copy")
        expect(copy).to_be_hidden()
        page.get_by_role("button", name="A short announcement").click()
        expect(page.get_by_label("Text", exact=True)).to_have_text(TRANSCRIPT)
        expect(copy).to_be_visible()
        expect(page.locator("#ray-timed li")).to_have_count(5)
        page.get_by_text("jumps", exact=True).click()
        player = page.locator("#ray-timed audio")
        page.wait_for_function("() => document.querySelector('#ray-timed audio').currentTime > 6")
        assert player.evaluate("a => a.duration") == pytest.approx(14.3, abs=0.1)
        expect(page.locator("#ray-timed .ray-now")).not_to_have_count(0)
        with page.expect_download() as download:
            page.get_by_role("button", name="SRT").click()
        assert download.value.suggested_filename == "announcement.srt"
        assert [url for url in urls if not url.startswith((address, "data:", "blob:"))] == []


def test_a_dropped_file_and_stop_in_a_browser(page: Page, tmp_path: Path) -> None:
    stt = SttStage(SttArgs(vad_threshold=0.0), GatedStt)
    engine = GatedStt.last
    with served(fake_clients(stt=stt), "stt") as address:
        page.goto(f"{address}/ui/stt/")
        page.locator("#ray-recording input[type=file]").set_input_files(
            str(tone(tmp_path, 120.0, "long.flac"))
        )
        assert engine.entered.acquire(timeout=30)
        engine.gate.release()
        expect(page.get_by_label("Text", exact=True)).to_have_text(re.compile("heard"))
        expect(page.locator("#ray-heard progress")).to_be_visible()
        assert engine.entered.acquire(timeout=30)
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#ray-heard")).to_contain_text("Stopped at 0:")
        expect(page.get_by_role("button", name="VTT")).to_be_visible()
        while stt._meter.n_running:  # Gradio sends the cancel beside the handler, not before it
            page.wait_for_timeout(20)
        engine.gate.release(100)
        with ThreadPoolExecutor() as pool:  # Playwright has a loop in this thread
            pool.submit(asyncio.run, _finish(stt)).result()
        assert engine.n_calls == 3


async def _finish(stt: SttStage) -> None:
    """One more call: when it is answered, everything before it has ended."""
    await stt.transcribe(Audio(samples=np.zeros(1600, np.float32), rate_hz=16_000), SttOptions())
    report = await stt.describe()
    assert (report.n_running, report.n_waiting) == (0, 0)


def test_an_error_in_a_browser_says_what_to_do(page: Page, tmp_path: Path) -> None:
    (tmp_path / "words.mp3").write_text("not sound")
    with served(fake_clients(), "stt") as address:
        page.goto(f"{address}/ui/stt/")
        page.locator("#ray-recording input[type=file]").set_input_files(str(tmp_path / "words.mp3"))
        expect(page.get_by_text("not an audio or video file")).to_be_visible()


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    with served(fake_clients(), "stt") as address:
        page.goto(f"{address}/ui/stt/")
        page.get_by_role("button", name="A short announcement").click()
        expect(page.locator("#ray-timed li")).to_have_count(5)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
