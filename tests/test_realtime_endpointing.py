"""When has somebody finished speaking?"""

from __future__ import annotations

import time
from typing import Literal

import pytest

from serve_apps.realtime.config import SemanticVad, ServerVad
from serve_apps.realtime.endpointing import is_finished, patience_s

FINISHED = [
    "What time is it?",
    "Tell me about the weather in Berlin.",
    "Where are you from?",
    "What are you talking about?",
    "I would like two tickets, please.",
    "It was the best of times.",
    "yes",
    "Okay.",
    "No, stop!",
    "Mhm.",
    "Thank you",
    "He said: “It is late.”",
    "Set a timer for 20 minutes.",
    "My number is 030 1234567.",
    "I want to die.",
    "Will you come?",
    "What should I do?",
    "Wie spät ist es?",
    "Ich hätte gern zwei Karten.",
    "Quelle heure est-il ?",
    "¿Qué hora es?",
    "Che ore sono?",
    "Que horas são?",
    "你好吗",
    "我知道了",
    "これは何ですか",
    "東京に行きます",
    "今日は天気がいいですね。",
]
UNFINISHED = [
    "Tell me about",
    "Tell me about the.",
    "I want to.",
    "I was wondering if.",
    "So, um.",
    "Um",
    "And then, uh...",
    "I would like a",
    "She is looking for my.",
    "There are cats, dogs, and.",
    "What I mean is,",
    "I think it's.",
    "You know.",
    "It's kind of.",
    "My number is 030 12.",
    "I need, for example.",
    "Ich möchte gerne die.",
    "Ich glaube, dass.",
    "Das ist, ähm.",
    "Je voudrais aller à.",
    "Il y a un chat et.",
    "Quiero hablar con la.",
    "No sé si, este.",
    "Vorrei un biglietto per.",
    "Eu quero falar com o.",
    "我想去北京和",
    "因为",
    "私は",
    "明日は雨だから",
    "well—",
]
UNCLEAR = [
    "",
    "   ",
    "...",
    "the blue one",
    "Tuesday.",
    "turn it on.",
    "Yes, I like that.",
    "🙂",
    "\u202eabc",
]


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        *(("finished", text) for text in FINISHED),
        *(("unfinished", text) for text in UNFINISHED),
        *(("unclear", text) for text in UNCLEAR),
    ],
)
def test_what_was_said_tells_whether_more_follows(expected: str, text: str) -> None:
    assert is_finished(text) == expected


def test_a_recogniser_s_full_stop_counts_less_than_the_last_word() -> None:
    for text in ("and the", "and the.", "I went to.", "I went to"):
        assert is_finished(text) == "unfinished"


def test_a_whole_book_is_judged_at_once() -> None:
    began = time.process_time()
    assert is_finished("It was the best of times. " * 20_000) == "finished"
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("text", [None, "", "What time is it?", "and the"])
def test_server_vad_waits_as_long_as_it_was_told(text: str | None) -> None:
    assert patience_s(ServerVad(silence_duration_ms=730), text) == pytest.approx(0.73)


@pytest.mark.parametrize(
    ("eagerness", "finished_s", "unclear_s", "unfinished_s"),
    [("high", 0.25, 0.5, 1.2), ("medium", 0.45, 0.8, 2.0), ("auto", 0.45, 0.8, 2.0), ("low", 0.8, 1.5, 4.0)],
)
def test_semantic_vad_waits_by_what_was_said(
    eagerness: Literal["low", "medium", "high", "auto"],
    finished_s: float,
    unclear_s: float,
    unfinished_s: float,
) -> None:
    detection = SemanticVad(eagerness=eagerness)
    assert patience_s(detection, "What time is it?") == finished_s
    assert patience_s(detection, "the blue one") == unclear_s
    assert patience_s(detection, None) == unfinished_s
    assert patience_s(detection, "Tell me about the.") == unfinished_s
