"""What the voice page records and sends, and what it does without a microphone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from serve_apps.media import encode, read
from serve_apps.wire import Audio
from tests.browser.voice_page import (
    ALLOWED,
    INSECURE,
    KEEP_STREAMS,
    MICROPHONE,
    RAINBOW,
    Doorway,
    is_now,
    launched,
    live,
    opened,
    playing,
    said,
    start,
    type_text,
)
from tests.fake_door import RATE_HZ, FakeDoor, answer, question
from ui.live import SAMPLE


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
        expect(live(page)).to_have_attribute("data-played-ms", "300.0")
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
