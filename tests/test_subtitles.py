from __future__ import annotations

import json
import re

import pytest

from serve_apps.errors import UnknownName
from serve_apps.subtitles import CUE_LINES, LINE_CHARACTERS, cues, timestamp, write
from serve_apps.wire import Segment, Transcript, Word

LONG = (
    "This sentence has far more letters in it than two lines of forty-two characters could ever hold at once."
)


def transcript(*segments: Segment) -> Transcript:
    return Transcript(segments=segments, language="en", duration_s=10.0)


def one(text: str, start_s: float = 0.0, end_s: float = 2.0) -> Transcript:
    return transcript(Segment(text=text, start_s=start_s, end_s=end_s))


def with_words(text: str) -> Segment:
    words = tuple(Word(text=t, start_s=i, end_s=i + 0.9) for i, t in enumerate(text.split()))
    return Segment(text=text, start_s=0.0, end_s=words[-1].end_s, words=words)


def test_srt() -> None:
    found = write(
        transcript(
            Segment(text="Hello.", start_s=0.5, end_s=1.25),
            Segment(text="Bye.", start_s=3599.9999, end_s=3661.5),
        ),
        "srt",
    )
    assert found == ("1\n00:00:00,500 --> 00:00:01,250\nHello.\n\n2\n01:00:00,000 --> 01:01:01,500\nBye.\n\n")


def test_vtt_escapes_marks() -> None:
    assert write(one("a < b && b > c --> <i>d</i>"), "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n"
        "a &lt; b &amp;&amp; b &gt; c --&gt; &lt;i&gt;d&lt;/i&gt;\n\n"
    )


def test_srt_has_no_second_arrow() -> None:
    assert write(one("from here --> there"), "srt").count("-->") == 1


def test_text_has_one_segment_a_line() -> None:
    assert write(transcript(*one(" One. ").segments, *one("Two.").segments), "txt") == "One.\nTwo.\n"


def test_json_reads_back() -> None:
    found = json.loads(write(transcript(with_words("Grüß Gott"), *one("مرحبا 👋").segments), "json"))
    assert found["text"] == "Grüß Gott مرحبا 👋"
    assert found["segments"][0]["words"][1] == {"text": "Gott", "start_s": 1, "end_s": 1.9}
    assert "words" not in found["segments"][1]


@pytest.mark.parametrize("segment", [one(LONG).segments[0], with_words(LONG)], ids=["no words", "words"])
def test_long_sentences_become_several_cues(segment: Segment) -> None:
    found = cues(transcript(segment))
    assert len(found) == 2
    assert all(len(cue.lines) <= CUE_LINES for cue in found)
    assert all(len(line) <= LINE_CHARACTERS for cue in found for line in cue.lines)
    assert " ".join(line for cue in found for line in cue.lines) == LONG
    assert found[0].end_s <= found[1].start_s
    assert (found[0].start_s, found[1].end_s) == (segment.start_s, pytest.approx(segment.end_s))


def test_cues_have_the_times_of_their_words() -> None:
    first, second = cues(transcript(with_words(LONG)))
    n_first = len(" ".join(first.lines).split())
    assert first.end_s == pytest.approx(n_first - 1 + 0.9)
    assert second.start_s == pytest.approx(n_first)


def test_a_script_without_spaces_is_cut_into_lines() -> None:
    found = cues(one("語" * 100))
    assert [len(line) for cue in found for line in cue.lines] == [42, 42, 16]


def test_line_breaks_in_a_text_cannot_end_a_cue() -> None:
    assert write(one("one\n\ntwo"), "srt").endswith("\none two\n\n")


def test_cues_do_not_overlap_and_last_at_least_a_moment() -> None:
    found = cues(transcript(*one("a", 0.0, 5.0).segments, *one("b", 3.0, 3.0).segments))
    assert (found[0].end_s, found[1].end_s > found[1].start_s) == (3.0, True)


@pytest.mark.parametrize("name", ["srt", "vtt", "txt", "json"])
def test_nobody_spoke(name: str) -> None:
    assert re.fullmatch(r"(WEBVTT\n\n|\{.*\}\n)?", write(transcript(), name), re.DOTALL)


def test_unknown_formats_are_named() -> None:
    with pytest.raises(UnknownName, match="'doc'"):
        write(transcript(), "doc")


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (-0.2, "00:00:00.000"), (360_000, "100:00:00.000")],
)
def test_timestamps_round_to_milliseconds(time_s: float, text: str) -> None:
    assert timestamp(time_s) == text
