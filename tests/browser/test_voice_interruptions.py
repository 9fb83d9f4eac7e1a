"""An answer that is stopped, by voice or by hand, against a session that the test plays."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.voice_page import (
    RAINBOW,
    STOPPED_WITHIN_MS,
    entry,
    fact,
    is_now,
    live,
    type_text,
)
from tests.fake_door import FakeDoor, answer, answer_begins, answer_ends


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
