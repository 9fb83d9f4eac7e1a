"""The voice page against a session that the test plays: what it says, shows, plays and stops."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from serve_apps.media import encode, read
from serve_apps.wire import Audio
from tests.browser.voice_page import (
    ALLOWED,
    INSECURE,
    KEEP_STREAMS,
    MICROPHONE,
    Doorway,
    doorway,
    entry,
    fact,
    is_now,
    launched,
    live,
    opened,
    playing,
    said,
    start,
    type_text,
)
from tests.fake_door import RATE_HZ, FakeDoor, answer, answer_begins, answer_ends, question
from ui.live import SAMPLE

RAINBOW = "Rainbows form when sunlight enters raindrops and splits into many colours."
FOLLOW_CAPTIONS = """() => {
  window.marked = [];
  new MutationObserver(() => {
    const now = document.querySelector(".ray-now")?.textContent;
    if (now && window.marked.at(-1) !== now) window.marked.push(now);
  }).observe(document.querySelector(".ray-live"), { subtree: true, attributeFilter: ["class"] });
}"""
"""Collects the words that are marked as being spoken."""
STOPPED_WITHIN_MS = 100
REPORT_MS = 250


@pytest.fixture(scope="module")
def way() -> Iterator[Doorway]:
    with doorway() as way:
        yield way


@pytest.fixture
def door(way: Doorway) -> FakeDoor:
    way.door = FakeDoor()
    return way.door


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone hears the example question again and again."""
    speech = tmp_path_factory.mktemp("speech") / "speech.wav"
    speech.write_bytes(encode(read(SAMPLE, rate_hz=48_000), "wav"))
    with launched(playwright, *playing(speech, once=False)) as chromium:
        yield chromium


@pytest.fixture
def talking(way: Doorway, door: FakeDoor, chromium: Browser) -> Iterator[Page]:
    """The page, listening."""
    with opened(way, chromium) as page:
        start(page)
        door.wait("session.update")
        door.wait_until(lambda: door.heard_s > 0.6)
        yield page


@pytest.fixture
def typing(way: Doorway, door: FakeDoor, chromium: Browser) -> Iterator[Page]:
    """The page with its microphone off, a question typed and an answer awaited."""
    with opened(way, chromium) as page:
        type_text(page, "How do rainbows form?")
        door.wait("response.create")
        yield page


# ---- a turn --------------------------------------------------------------------------------------


def test_talk_and_hear(way: Doorway, door: FakeDoor, chromium: Browser) -> None:
    with opened(way, chromium) as page:
        hosts = set[str]()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        start(page)
        settings = door.wait("session.update")["session"]
        assert settings["type"] == "realtime"
        assert settings["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "eagerness": "auto"}
        door.wait_until(lambda: door.heard_s > 0.6 and bool(np.abs(door.samples).max() > 0.05))

        first, *rest = question("you", "How do rainbows form?", end_ms=400)
        door.say(first, rest[0])
        is_now(page, "hearing")
        expect(entry(page, "you")).to_have_attribute("data-final", "false")
        expect(said(page, "user")).to_have_text("How")
        door.say(*rest[1:])
        expect(said(page, "user")).to_have_text("How do rainbows form?")
        expect(entry(page, "you")).to_have_attribute("data-final", "true")
        is_now(page, "thinking")

        page.evaluate(FOLLOW_CAPTIONS)
        door.say(*answer("it", RAINBOW, 1.0))
        is_now(page, "speaking")
        is_now(page, "listening")
        marked = page.evaluate("marked")
        assert marked == sorted(set(marked), key=RAINBOW.split().index)
        assert len(marked) > len(RAINBOW.split()) / 2  # a crowded machine skips some
        expect(page.locator(".ray-now")).to_have_count(0)
        expect(live(page)).to_have_attribute("data-played-ms", "1000.0")
        assert (fact(page, "underruns"), fact(page, "turns")) == ("0", "1")
        assert 0 < float(fact(page, "p50-ms")) < 5_000
        expect(entry(page, "it").get_by_text("Heard after")).to_be_visible()

        page.get_by_role("button", name="End", exact=True).click()
        is_now(page, "idle")
        assert page.evaluate("streams.flatMap(s => s.getTracks()).every(t => t.readyState === 'ended')")
        assert hosts <= {"127.0.0.1", ""}


@pytest.mark.usefixtures("talking")
def test_what_was_played_is_reported(door: FakeDoor) -> None:
    door.say(*answer("it", RAINBOW, 1.0))
    door.wait_until(lambda: any(not told["playing"] for told in door.all("raydio.playback")))
    told = door.all("raydio.playback")
    assert [t["playing"] for t in told] == [True] * (len(told) - 1) + [False]
    assert (told[0]["played_ms"], told[-1]["played_ms"]) == (0, 1000)
    steps = np.diff([t["played_ms"] for t in told[:-1]])
    assert all(REPORT_MS - 50 < step < 2 * REPORT_MS for step in steps)


def test_the_waterfall_reads_as_text(door: FakeDoor, talking: Page) -> None:
    door.say(*question("you", "Hello there"), *answer("it", RAINBOW, 0.3))
    entry(talking, "it").locator(".ray-live-where summary").click()
    rows = entry(talking, "it").get_by_role("list", name="Where the time went").get_by_role("listitem")
    assert rows.all_inner_texts() == ["silence\n400 ms", "thinking\n80 ms", "first sound\n20 ms"]
    assert rows.nth(1).get_attribute("title") == "thinking: from 400 ms to 480 ms"


def test_a_turn_can_be_played_back(door: FakeDoor, talking: Page) -> None:
    door.say(*question("you", "Hello there", start_ms=100, end_ms=600), *answer("it", RAINBOW, 0.3))
    is_now(talking, "listening")
    for item, length in (("you", "0.5 s"), ("it", "0.3 s")):
        again = entry(talking, item).locator(".ray-live-replay")
        expect(again).to_contain_text(length)
        again.click()
        expect(again).to_contain_text("Stop")
        expect(again).to_contain_text(length)


# ---- interruptions -------------------------------------------------------------------------------


def test_speech_stops_the_answer_at_once_and_marks_what_was_not_heard(door: FakeDoor, talking: Page) -> None:
    door.say(*answer_begins("it", RAINBOW, 5.0))
    door.wait("raydio.playback", 4)
    door.say({"type": "input_audio_buffer.speech_started", "item_id": "you", "audio_start_ms": 900})
    cut = door.wait("conversation.item.truncate")
    played_ms = door.all("raydio.playback")[-1]["played_ms"]
    assert 0 <= played_ms - cut["audio_end_ms"] < 1
    assert (cut["item_id"], cut["content_index"]) == ("it", 0)
    assert 600 < played_ms < 4_000
    expect(entry(talking, "it")).to_have_attribute("data-interrupted", "interrupted")
    expect(entry(talking, "it")).to_contain_text("interrupted after")
    words = RAINBOW.split()
    n_heard = int(np.ceil(played_ms / (5_000 / len(words))))
    assert entry(talking, "it").locator("s").all_inner_texts()[0].split()[0] == words[n_heard]
    is_now(talking, "hearing")
    assert float(fact(talking, "stopped-ms")) < STOPPED_WITHIN_MS
    assert not door.all("response.cancel")  # the session has done that itself


def test_sound_that_comes_after_the_interruption_is_not_played(door: FakeDoor, talking: Page) -> None:
    begins = answer_begins("it", RAINBOW, 5.0)
    door.say(*begins)
    is_now(talking, "speaking")
    door.say({"type": "input_audio_buffer.speech_started", "item_id": "you", "audio_start_ms": 900})
    door.wait("conversation.item.truncate")
    n_told = len(door.all("raydio.playback"))
    door.say(begins[-1], *answer_ends("it", RAINBOW, status="cancelled"))
    door.say({"type": "input_audio_buffer.speech_stopped", "item_id": "you", "audio_end_ms": 1_000})
    is_now(talking, "thinking")
    assert len(door.all("raydio.playback")) == n_told
    expect(entry(talking, "it").locator("s").first).to_be_visible()


def test_a_suspicion_only_lowers_the_voice(door: FakeDoor, talking: Page) -> None:
    door.say(*answer_begins("it", RAINBOW, 5.0))
    is_now(talking, "speaking")
    door.say({"type": "raydio.barge_in.suspected", "item_id": "it"})
    expect(live(talking)).to_have_attribute("data-ducked", "true")
    door.say({"type": "raydio.barge_in.dismissed", "item_id": "it", "reason": "backchannel"})
    expect(live(talking)).to_have_attribute("data-ducked", "false")
    is_now(talking, "speaking")
    assert not door.all("conversation.item.truncate")


@pytest.mark.parametrize("means", ["Escape", "Stop"])
def test_the_user_stops_an_answer(door: FakeDoor, typing: Page, means: str) -> None:
    door.say(*answer_begins("it", RAINBOW, 5.0))
    is_now(typing, "speaking")
    door.wait("raydio.playback", 3)
    if means == "Escape":
        typing.keyboard.press(means)
    else:
        typing.get_by_role("button", name="Stop", exact=False).first.click()
    assert door.wait("response.cancel")["response_id"] == "resp"
    door.wait("output_audio_buffer.clear")
    assert door.wait("conversation.item.truncate")["audio_end_ms"] > 0
    expect(entry(typing, "it")).to_have_attribute("data-interrupted", "stopped")
    is_now(typing, "ready")


def test_stopping_before_the_first_sound_leaves_no_word_as_heard(door: FakeDoor, typing: Page) -> None:
    door.say(*answer_begins("it", RAINBOW, 1.0)[:3])
    is_now(typing, "thinking")
    typing.keyboard.press("Escape")
    door.wait("response.cancel")
    details = {"type": "cancelled", "reason": "client_cancelled"}
    done = {"id": "resp", "status": "cancelled", "status_details": details, "output": []}
    door.say({"type": "response.done", "response": done})
    expect(entry(typing, "it").locator("s")).to_have_text(RAINBOW)
    expect(entry(typing, "it")).to_contain_text("before it was heard")


@pytest.mark.parametrize("begun", [False, True])
def test_what_was_stopped_in_time_is_never_heard(door: FakeDoor, typing: Page, begun: bool) -> None:
    begins, details = answer_begins("it", RAINBOW, 1.0), {"type": "cancelled", "reason": "client_cancelled"}
    door.say(*(begins[:1] if begun else []))
    is_now(typing, "thinking")
    typing.keyboard.press("Escape")
    is_now(typing, "ready")
    door.say(*(begins[1:] if begun else begins))
    assert door.wait("response.cancel")["response_id"] == "resp"
    done = {"id": "resp", "status": "cancelled", "status_details": details, "output": []}
    door.say({"type": "response.done", "response": done})
    expect(entry(typing, "it").locator("s").first).to_be_visible()
    assert not door.all("raydio.playback")
    # The next answer is heard.
    type_text(typing, "And at night?")
    door.wait("response.create", 2)
    door.say(*answer("it2", "Yes.", 0.2, response="resp2"))
    door.wait("raydio.playback", 2)
    assert {told["item_id"] for told in door.all("raydio.playback")} == {"it2"}


# ---- the microphone ------------------------------------------------------------------------------


def test_a_quiet_room_is_sent_in_larger_pieces_and_speech_at_once(
    way: Doorway, door: FakeDoor, playwright: Playwright, tmp_path: Path
) -> None:
    question_ = read(SAMPLE, rate_hz=48_000).samples
    waits = Audio(
        samples=np.concatenate([np.zeros(4 * 48_000, np.float32), question_, np.zeros(48_000, np.float32)]),
        rate_hz=48_000,
    )
    path = tmp_path / "waits.wav"
    path.write_bytes(encode(waits, "wav"))
    with launched(playwright, *playing(path)) as waiting, opened(way, waiting) as page:
        start(page)
        together, alone = int(0.2 * RATE_HZ) * 2, int(0.02 * RATE_HZ) * 2
        door.wait_until(lambda: door.audio[-3:] == [bytes(together)] * 3)
        door.wait_until(lambda: len(door.audio) > 3 and len(door.audio[-1]) == alone)
        assert np.abs(door.samples[-RATE_HZ // 5 :]).max() > 0.003


def test_a_tap_mutes_and_another_unmutes(door: FakeDoor, talking: Page) -> None:
    talking.get_by_role("button", name="Mute the microphone").click()
    is_now(talking, "muted")
    second = b"\0" * RATE_HZ  # half a second of digital silence
    door.wait_until(lambda: b"".join(door.audio[-40:]).endswith(second))
    talking.get_by_role("button", name="Unmute the microphone").click()
    is_now(talking, "listening")
    n_before = len(door.audio)
    door.wait_until(lambda: any(any(piece) for piece in door.audio[n_before:]))


def test_hold_space_to_talk(door: FakeDoor, talking: Page) -> None:
    talking.get_by_role("button", name="Mute the microphone").click()
    is_now(talking, "muted")
    door.heard.clear()
    talking.keyboard.down("Space")
    is_now(talking, "hearing")
    door.wait("input_audio_buffer.clear")
    before_s = door.heard_s
    door.wait_until(lambda: door.heard_s > before_s + 0.6 and any(door.audio[-1]))
    talking.keyboard.up("Space")
    door.wait("session.update", 2)
    assert [event["type"] for event in door.heard] == [
        "session.update",
        "input_audio_buffer.clear",
        "input_audio_buffer.commit",
        "response.create",
        "session.update",
    ]
    first, last = door.all("session.update")
    assert first["session"]["audio"]["input"] == {"turn_detection": None}
    assert last["session"]["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    is_now(talking, "thinking")
    expect(live(talking)).to_have_attribute("data-muted", "true")


def test_a_slip_of_the_finger_asks_nothing(door: FakeDoor, talking: Page) -> None:
    door.heard.clear()
    talking.locator(".ray-live-log").click()  # on the microphone's button it would mute
    talking.keyboard.press("Space")
    door.wait("input_audio_buffer.clear", 2)
    door.wait("session.update", 2)
    assert not door.all("response.create")
    is_now(talking, "listening")


REFUSALS = {
    "missing": ((), "", "No microphone was found"),
    "denied": (MICROPHONE, "", "does not allow the microphone"),
    "insecure": (ALLOWED, INSECURE, "only to secure pages"),
}
"""Why there is no microphone: the browser's flags, a script before the page's, and what is said."""


@pytest.mark.parametrize("reason", REFUSALS)
def test_without_a_microphone_it_says_why_and_typing_works(
    way: Doorway, door: FakeDoor, playwright: Playwright, reason: str
) -> None:
    flags, script, words = REFUSALS[reason]
    with launched(playwright, *flags) as chromium, opened(way, chromium, script) as page:
        page.get_by_role("button", name="Start conversation").click()
        is_now(page, "refused")
        expect(live(page)).to_have_attribute("data-hint", reason)
        expect(page.locator(".ray-live-words")).to_contain_text(words)
        assert not door.queries
        type_text(page, "Hello there")
        door.wait("response.create")
        door.say(*answer("it", "Hello to you.", 0.3))
        is_now(page, "speaking")
        is_now(page, "ready")
        expect(said(page, "assistant")).to_have_text("Hello to you.")


def test_typing_asks_for_no_microphone(door: FakeDoor, typing: Page) -> None:
    created = door.wait("conversation.item.create")["item"]
    assert (created["role"], created["content"]) == (
        "user",
        [{"type": "input_text", "text": "How do rainbows form?"}],
    )
    assert [e["type"] for e in door.heard] == [
        "session.update",
        "conversation.item.create",
        "response.create",
    ]
    assert typing.evaluate("streams.length") == 0
    door.say({"type": "conversation.item.added", "previous_item_id": None, "item": created})
    is_now(typing, "thinking")
    expect(said(typing, "user")).to_have_count(1)


def test_the_example_is_spoken_into_the_session(way: Doorway, door: FakeDoor, chromium: Browser) -> None:
    with opened(way, chromium) as page:
        page.get_by_role("button", name="Try an example").click()
        sample = read(SAMPLE, rate_hz=RATE_HZ).samples
        door.wait_until(lambda: len(door.samples) > len(sample) + RATE_HZ // 2)
        heard = door.samples[: len(sample)]
        assert np.corrcoef(heard, sample)[0, 1] > 0.99
        assert not door.samples[len(sample) + 480 :].any()
        assert page.evaluate("streams.length") == 0
        door.say(*question("you", "What is this?"))
        expect(said(page, "user")).to_have_text("What is this?")
        door.say(*answer("it", RAINBOW, 0.3))
        is_now(page, "ready")


RECORD_THROUGH_WORKLET = """async ({ rate_hz, code, pitch_hz }) => {
  const context = new OfflineAudioContext(1, rate_hz * 2, rate_hz);
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  await context.audioWorklet.addModule(address);
  const node = new AudioWorkletNode(context, "raydio-microphone", { processorOptions: { rate_hz: 24000 } });
  const pieces = [];
  node.port.onmessage = ({ data }) => pieces.push(...data.samples);
  const tone = new OscillatorNode(context, { frequency: pitch_hz });
  const quiet = new GainNode(context, { gain: 0.5 });
  tone.connect(quiet).connect(node).connect(context.destination);
  tone.start();
  await context.startRendering();
  while (pieces.length < 40000) await new Promise((then) => setTimeout(then, 20));
  return pieces;
}"""


LIKE_FIREFOX = f"""{KEEP_STREAMS}
const connect = AudioContext.prototype.createMediaStreamSource;
AudioContext.prototype.createMediaStreamSource = function (stream) {{
  if (this.sampleRate === 24000) throw new DOMException("Another rate.", "NotSupportedError");
  return connect.call(this, stream);
}};
"""


def test_a_browser_that_cannot_record_at_24_khz_changes_the_rate_itself(
    way: Doorway, door: FakeDoor, chromium: Browser
) -> None:
    with opened(way, chromium, LIKE_FIREFOX) as page:
        start(page)
        door.wait_until(lambda: door.heard_s > 1 and bool(np.abs(door.samples).max() > 0.05))
        page.get_by_role("button", name="End", exact=True).click()
        is_now(page, "idle")
        assert page.evaluate("streams.flatMap(s => s.getTracks()).every(t => t.readyState === 'ended')")


@pytest.mark.parametrize("rate_hz", [24_000, 44_100, 48_000])
@pytest.mark.parametrize(("pitch_hz", "kept"), [(1_000, True), (9_000, True), (15_000, False)])
def test_any_sound_card_becomes_24_khz_without_aliases(
    chromium: Browser, rate_hz: int, pitch_hz: int, kept: bool
) -> None:
    """What Firefox needs: a pitch stays where it is, and what 24 kHz cannot hold is gone, not mirrored."""
    if rate_hz == RATE_HZ and not kept:
        pytest.skip("The oscillator itself cannot make it at this rate.")
    page = chromium.new_page()
    page.route("https://secure.example/", lambda route: route.fulfill(content_type="text/html", body=""))
    page.goto("https://secure.example/")  # worklets are for secure pages
    code = (Path(__file__).parents[2] / "assets/live/worklets.js").read_text()
    pieces = page.evaluate(RECORD_THROUGH_WORKLET, {"rate_hz": rate_hz, "code": code, "pitch_hz": pitch_hz})
    sound = np.array(pieces[4_000:36_000]) / 32_768
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) * 4 / len(sound)
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    if kept:
        assert abs(hz[spectrum.argmax()] - pitch_hz) < 2
        assert spectrum.max() == pytest.approx(0.5, rel=0.1)
    rest = spectrum[np.abs(hz - pitch_hz) > 50]
    assert rest.max() < 0.005


# ---- the connection ------------------------------------------------------------------------------


def test_a_lost_connection_resumes_and_nothing_said_meanwhile_is_lost(door: FakeDoor, talking: Page) -> None:
    began, before_s = time.monotonic(), door.heard_s
    door.say(*question("you", "How do rainbows form?"), *answer("it", RAINBOW, 0.3))
    is_now(talking, "listening")
    door.cut()
    is_now(talking, "reconnecting")
    type_text(talking, "And at night?")
    door.wait_until(lambda: len(door.queries) == 2)
    assert door.queries[1]["resume"] == "sess_1"
    assert door.queries[1]["after"].startswith("event_")
    door.wait("response.create")
    assert door.all("conversation.item.create")[-1]["item"]["content"][0]["text"] == "And at night?"
    assert len(door.all("session.update")) == 1
    # The microphone went on: what was recorded while there was no connection came later, but it came.
    door.wait_until(lambda: door.heard_s - before_s > time.monotonic() - began - 0.3)
    expect(said(talking, "user")).to_have_count(2)


def test_a_session_that_is_gone_is_made_anew_with_its_items(door: FakeDoor, talking: Page) -> None:
    door.say(*question("you", "How do rainbows form?"), *answer_begins("it", RAINBOW, 5.0))
    door.wait("raydio.playback", 3)
    talking.keyboard.press("Escape")
    door.wait("conversation.item.truncate")
    door.refuse_resume = True
    door.heard.clear()
    door.cut()
    door.wait_until(lambda: len(door.queries) == 3)
    door.wait("conversation.item.create", 2)
    assert [event["type"] for event in door.heard][:1] == ["session.update"]
    user, assistant = (event["item"] for event in door.all("conversation.item.create"))
    assert (user["id"], user["content"]) == (
        "you",
        [{"type": "input_text", "text": "How do rainbows form?"}],
    )
    told = assistant["content"][0]
    assert told["type"] == "output_text"
    assert RAINBOW.startswith(told["text"])
    assert 0 < len(told["text"]) < len(RAINBOW)
    is_now(talking, "listening")


def test_the_network_going_away_is_noticed(door: FakeDoor, talking: Page) -> None:
    talking.context.set_offline(True)
    is_now(talking, "reconnecting")
    talking.context.set_offline(False)
    is_now(talking, "listening")
    assert door.queries[-1]["resume"] == "sess_1"


def test_a_server_that_says_no_is_believed(door: FakeDoor, talking: Page) -> None:
    door.cut(4429)
    is_now(talking, "refused")
    expect(talking.locator(".ray-live-words")).to_contain_text("4429")
    assert len(door.queries) == 1


def test_two_tabs_are_two_sessions(door: FakeDoor, typing: Page) -> None:
    other = typing.context.new_page()
    other.goto(typing.url)
    is_now(other, "idle")
    type_text(other, "Me too")
    door.wait("response.create", 2)
    assert {fact(typing, "session"), fact(other, "session")} == {"sess_1", "sess_2"}
    door.say(*answer("it", "Only here.", 0.2))
    expect(said(other, "assistant")).to_have_text("Only here.")
    expect(said(typing, "assistant")).to_have_count(0)


# ---- errors --------------------------------------------------------------------------------------


def test_errors_are_said_where_they_happened(door: FakeDoor, typing: Page) -> None:
    error = {"type": "server_error", "code": "stage_busy", "message": "The llm is busy. Ask again soon."}
    about = {"response_id": "resp", "item_id": "it"}
    failed = {"id": "resp", "status": "failed", "status_details": {"type": "failed", "error": error}}
    door.say(*answer_begins("it", "Half an", 0.2))
    door.say({"type": "response.output_audio.done", **about}, {"type": "response.done", "response": failed})
    expect(entry(typing, "it")).to_contain_text("The llm is busy. Ask again soon.")
    transcribed = "conversation.item.input_audio_transcription.failed"
    door.say({"type": transcribed, "item_id": "you", "error": {"message": "The stt is restarting."}})
    expect(entry(typing, "you")).to_contain_text("The stt is restarting.")
    door.say({"type": "error", "error": {"type": "server_error", "message": "Something else."}})
    expect(said(typing, "problem")).to_have_text("Something else.")
    door.say({"type": "error", "error": {"message": "Nothing to cancel.", "event_id": "cancel_1"}})
    door.say({"type": "error", "error": {"message": "The last."}})
    expect(said(typing, "problem").last).to_have_text("The last.")
    expect(typing.get_by_text("Nothing to cancel.")).to_have_count(0)


def test_what_anybody_says_is_only_text(door: FakeDoor, typing: Page) -> None:
    hostile = (
        '<img src=x onerror="window.bad=1"> ${window.bad=1} {{value}} ![x](http://evil.example/p.png) '
        "**bold** and `<b>code</b>`\n\n- [link](javascript:alert(1))\n\n"
        "```html\n<script>window.bad=1</script>\n```"
    )
    requests: list[str] = []
    typing.on("request", lambda request: requests.append(request.url))
    door.say(*answer("it", hostile, 0.2))
    door.say({**question("you", hostile)[-1]})
    source = {"id": "1", "title": hostile, "text": hostile, "score": 0.5, "url": "javascript:alert(1)"}
    door.say({"type": "raydio.sources", "response_id": "resp", "item_id": "it", "sources": [source]})
    expect(entry(typing, "it").get_by_role("list", name="Sources")).to_be_visible()
    text = said(typing, "assistant")
    expect(text.locator("b")).to_have_text("bold")
    expect(text.locator("pre code")).to_have_text("<script>window.bad=1</script>")
    assert typing.locator(".ray-live-entry :is(img, script, a)").count() == 0
    assert typing.evaluate("window.bad") is None
    expect(said(typing, "user").last).to_have_text(hostile, use_inner_text=True)
    assert not [url for url in requests if "evil" in url]


# ---- the rest ------------------------------------------------------------------------------------


def test_downloads(door: FakeDoor, talking: Page, tmp_path: Path) -> None:
    door.say(*question("you", "How do rainbows form?", start_ms=100, end_ms=600), *answer("it", RAINBOW, 0.5))
    is_now(talking, "listening")
    files = {}
    for kind, name in (("txt", "Text"), ("wav", "Sound"), ("json", "JSON")):
        with talking.expect_download() as download:
            talking.get_by_role("button", name=name).click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
        assert files[kind].suffix == f".{kind}"
    assert files["txt"].read_text() == f"You: How do rainbows form?\n\nRaydio: {RAINBOW}\n"
    samples, rate_hz = soundfile.read(files["wav"])
    assert rate_hz == RATE_HZ
    assert len(samples) / rate_hz == pytest.approx(0.5 + 0.4 + 0.5 + 0.4, abs=0.01)
    user, assistant = json.loads(files["json"].read_text())["items"]
    assert (user["role"], user["audio_ms"]) == ("user", 500)
    assert assistant["captions"][0]["words"][0]["text"] == "Rainbows"
    assert assistant["turn"]["spans"][0]["name"] == "silence"
    assert assistant["heard_after_ms"] > 0


def test_settings_reach_the_session(door: FakeDoor, typing: Page) -> None:
    typing.get_by_text("Settings").click()
    typing.get_by_role("combobox", name="Voice").select_option("de")
    typing.get_by_role("slider", name="Speed").fill("1.25")
    typing.get_by_role("combobox", name="When you pause").select_option("fixed")
    typing.get_by_role("spinbutton", name="Silence").fill("750")
    typing.get_by_role("combobox", name="Interrupting").select_option("off")

    def told() -> Any:
        return door.all("session.update")[-1]["session"]

    door.wait_until(lambda: told()["raydio"]["barge_in"]["mode"] == "off")
    assert told()["audio"]["output"] == {"voice": "de", "speed": 1.25}
    detection = told()["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad", "silence_duration_ms": 750}


def test_ask_again_and_clear(door: FakeDoor, typing: Page) -> None:
    door.say(*answer("it", RAINBOW, 0.2))
    is_now(typing, "ready")
    typing.get_by_role("button", name="Ask again").click()
    assert door.wait("conversation.item.delete")["item_id"] == "it"
    door.wait("response.create", 2)
    expect(entry(typing, "it")).to_have_count(0)
    door.say(*answer("it2", "Something else.", 0.2, response="resp2"))
    expect(said(typing, "assistant")).to_have_text("Something else.")
    typing.get_by_role("button", name="Clear").click()
    door.wait("conversation.item.delete", 3)
    expect(typing.get_by_role("heading", name="Have a conversation")).to_be_visible()
    assert fact(typing, "turns") == "0"


def test_the_conversation_goes_on_after_end(door: FakeDoor, typing: Page) -> None:
    door.say(*answer("it", RAINBOW, 0.2))
    is_now(typing, "ready")
    typing.get_by_role("button", name="End", exact=True).click()
    is_now(typing, "idle")
    door.heard.clear()
    type_text(typing, "And at night?")
    door.wait("response.create")
    told = [event["item"]["content"][0]["text"] for event in door.all("conversation.item.create")]
    assert told == ["How do rainbows form?", RAINBOW, "And at night?"]


def test_screen_readers_hear_final_words_once(door: FakeDoor, typing: Page) -> None:
    events = answer("it", RAINBOW, 0.2)
    door.say(*events[:5])
    expect(said(typing, "assistant")).to_have_text(RAINBOW)
    aloud = typing.locator('.ray-live [aria-live="polite"]')
    expect(aloud).not_to_contain_text("Rainbows")
    door.say(*events[5:])
    expect(aloud).to_have_text(f"Raydio: {RAINBOW}")
    assert typing.locator(".ray-live [aria-live]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(way: Doorway, door: FakeDoor, chromium: Browser, scheme: str) -> None:
    phone = {"width": 360, "height": 740}
    with opened(way, chromium, viewport=phone, color_scheme=scheme) as page:
        type_text(page, "A" * 300)
        door.wait("response.create")
        door.say(*answer("it", f"{RAINBOW}\n\n```\n{'x' * 300}\n```", 0.2))
        is_now(page, "ready")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        expect(page.locator(".ray-live-mic")).to_be_in_viewport()
        expect(page.get_by_label("Message")).to_be_in_viewport()
