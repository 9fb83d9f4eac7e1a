"""A conversation whose connection is lost: resumed, made anew, refused."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from tests.browser.voice_page import (
    RAINBOW,
    entry,
    fact,
    is_now,
    live,
    said,
    type_text,
)
from tests.fake_door import FakeDoor, answer, answer_begins, question


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


def test_an_answer_whose_session_dies_is_played_as_far_as_it_came(door: FakeDoor, talking: Page) -> None:
    door.say(*question("you", "How do rainbows form?"), *answer_begins("it", RAINBOW, 1.5))
    is_now(talking, "speaking")
    door.refuse_resume = True
    door.cut(1012)
    door.wait_until(lambda: len(door.queries) == 3)
    expect(entry(talking, "it")).to_contain_text("lost before this was complete")
    expect(live(talking)).to_have_attribute("data-played-ms", "1500.0")
    is_now(talking, "listening")
    assert not door.all("response.create")


def test_a_question_whose_session_dies_is_asked_again(door: FakeDoor, talking: Page) -> None:
    door.say(*question("you", "How do rainbows form?"))
    is_now(talking, "thinking")
    door.refuse_resume = True
    door.cut(1012)
    door.wait("response.create")
    assert [event["type"] for event in door.heard] == [
        "session.update",
        "session.update",
        "conversation.item.create",
        "response.create",
    ]
    is_now(talking, "thinking")


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
