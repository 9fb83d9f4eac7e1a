from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from serve_apps.engines.text_stream import StopStrings, TextStream


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """One token a byte: every character outside ASCII comes in pieces."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({symbol: index for index, symbol in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    return tokenizer


def pieces(tokenizer: Tokenizer, text: str, stops: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(tokenizer, stops)
    found = [stream.push(token) for token in tokenizer.encode(text).ids]
    return [piece for piece in [*found, stream.flush()] if piece]


@pytest.mark.parametrize("text", ["hello", "😀👩‍👩‍👧‍👦", "שלום", "日本語 ascii", "a\x00b", ""])
def test_characters_come_whole(tokenizer: Tokenizer, text: str) -> None:
    found = pieces(tokenizer, text)
    assert "".join(found) == text
    assert "\ufffd" not in "".join(found)
    assert found == list(text)


def test_an_unfinished_character_is_dropped_at_the_end(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, ())
    ids = tokenizer.encode("a😀").ids
    assert "".join(map(stream.push, ids[:-1])) + stream.flush() == "a"


def test_special_tokens_are_not_text(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "a<end>b") == ["a", "b"]


def test_a_stop_string_in_bytes(tokenizer: Tokenizer) -> None:
    assert "".join(pieces(tokenizer, "one 😀 two", stops=("😀",))) == "one "


@pytest.mark.parametrize(
    ("stops", "given", "expected"),
    [
        (("STOP",), ["a STOP b"], "a "),
        (("STOP",), list("a STOP b"), "a "),
        (("STOP",), list("a STO"), "a STO"),
        (("STOP",), list("STSTOP"), "ST"),
        (("aab",), list("aaab"), "a"),
        (("x", "lo"), ["hel", "lo"], "hel"),
        (("b", "abc"), ["abc"], ""),
        (("", "z"), ["abc"], "abc"),
        ((), ["abc"], "abc"),
        (("\n\n",), ["one\n", "\ntwo"], "one"),
    ],
    ids=[
        "at once", "in letters", "never finished", "restarts", "overlaps itself", "second of two",
        "the first wins", "empty ones are ignored", "none", "newlines",
    ],
)  # fmt: skip
def test_stop_strings(stops: tuple[str, ...], given: list[str], expected: str) -> None:
    cut = StopStrings(stops)
    assert "".join(map(cut.push, given)) + cut.flush() == expected
    assert cut.hit == (expected != "".join(given))


def test_nothing_follows_a_stop_string() -> None:
    cut = StopStrings(("x",))
    assert [cut.push("ax"), cut.push("b"), cut.flush()] == ["a", "", ""]
