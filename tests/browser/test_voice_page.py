"""The voice page against a session that the test plays: turns, errors, files, settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from tests.browser.voice_page import (
    RAINBOW,
    Doorway,
    entry,
    fact,
    is_now,
    live,
    opened,
    said,
    start,
    type_text,
)
from tests.fake_door import RATE_HZ, FakeDoor, answer, answer_begins, question

REPORT_MS = 250
FOLLOW_CAPTIONS = """() => {
  window.marked = [];
  new MutationObserver(() => {
    const now = document.querySelector(".ray-now")?.textContent;
    if (now && window.marked.at(-1) !== now) window.marked.push(now);
  }).observe(document.querySelector(".ray-live"), { subtree: true, attributeFilter: ["class"] });
}"""
"""Collects the words that are marked as being spoken."""


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


def test_a_noise_leaves_no_trace(door: FakeDoor, talking: Page) -> None:
    *heard, understood = question("noise", "Hm", end_ms=400)
    door.say(*heard)
    is_now(talking, "thinking")
    door.say({**understood, "transcript": ""})
    is_now(talking, "listening")
    expect(entry(talking, "noise")).to_have_count(0)


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
    expect(talking.get_by_role("button", name="again")).to_have_count(3)  # both sounds, and "Ask again"
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
