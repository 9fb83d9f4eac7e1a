from __future__ import annotations

import random

import pytest

from serve_apps.citations import Support, n_content_words, without_numbers
from serve_apps.cited_text import CitedText

PASSAGES = [
    "The observatory opens at nine in the evening, from Tuesday to Saturday. Tickets cost 12 euros.",
    "The main telescope has a mirror of 3.5 metres; it was polished in Jena in 1987.",
    "望遠鏡は山の上にあります。入場は無料です。",
]


def cited(text: str, *, seed: int | None = None, passages: list[str] | None = None) -> CitedText:
    out = CitedText(Support(PASSAGES if passages is None else passages))
    out.text = "".join([*(out.feed(piece) for piece in pieces(text, seed)), out.finish()])  # type: ignore[attr-defined]
    return out


def pieces(text: str, seed: int | None) -> list[str]:
    if seed is None:
        return [text]
    chance = random.Random(seed)  # noqa: S311
    places = range(1, max(1, len(text)))
    cuts = sorted(chance.sample(places, min(len(places), chance.randint(0, 20))))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


EXAMPLES = {
    "a right number stays, before the full stop": (
        "It opens at nine in the evening [1].",
        "It opens at nine in the evening [1].",
    ),
    "a number after the full stop goes before it": (
        "It opens at nine in the evening. [1] The mirror has 3.5 metres. [2]",
        "It opens at nine in the evening [1]. The mirror has 3.5 metres [2].",
    ),
    "a wrong number becomes the right one": (
        "The telescope's mirror was polished in Jena [1].",
        "The telescope's mirror was polished in Jena [2].",
    ),
    "a number that no passage supports goes": (
        "Coffee is served on the roof [1].",
        "Coffee is served on the roof.",
    ),
    "a number that no passage has goes": ("Lions sleep in the garden [7].", "Lions sleep in the garden."),
    "a missing number is added": ("Tickets cost 12 euros.", "Tickets cost 12 euros [1]."),
    "a wrong figure is no support": ("Tickets cost 15 euros [1].", "Tickets cost 15 euros."),
    "several at once": (
        "It opens at nine in the evening, from Tuesday to Saturday [1, 3][2].",
        "It opens at nine in the evening, from Tuesday to Saturday [1].",
    ),
    "list items": (
        "- Tickets cost 12 euros\n- The mirror has 3.5 metres\n",
        "- Tickets cost 12 euros [1]\n- The mirror has 3.5 metres [2]\n",
    ),
    "headings and tables stay": (
        "# Tickets cost 12 euros\n\n| Tickets cost | 12 euros |\n",
        "# Tickets cost 12 euros\n\n| Tickets cost | 12 euros |\n",
    ),
    "inline code stays": ("Use `tickets[1]` for tickets[1", "Use `tickets[1]` for tickets[1"),
    "a block of code stays": (
        "So:\n```python\nprint(tickets[1])\n# Tickets cost 12 euros.\n```\nDone.",
        "So:\n```python\nprint(tickets[1])\n# Tickets cost 12 euros.\n```\nDone.",
    ),
    "links stay": ("See [1](https://example.org) there.", "See [1](https://example.org) there."),
    "words in brackets stay": ("Tickets [adults] are sold.", "Tickets [adults] are sold."),
    "CJK": (
        "望遠鏡は山の上にあります。[3]入場は無料です。",
        "望遠鏡は山の上にあります [3]。入場は無料です [3]。",
    ),
    "abbreviations do not end sentences": (
        "The telescope of Mr. Lens has a mirror of 3.5 metres.",
        "The telescope of Mr. Lens has a mirror of 3.5 metres [2].",
    ),
    "decimals do not end sentences": ("The mirror has 3.5 metres", "The mirror has 3.5 metres [2]"),
    "white space stays": ("One.  Two!\n\n  three  \n", "One.  Two!\n\n  three  \n"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("given", "shown"), EXAMPLES.values(), ids=EXAMPLES)
def test_numbers_are_checked(given: str, shown: str) -> None:
    assert cited(given).text == shown  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [given for given, _ in EXAMPLES.values()], ids=EXAMPLES)
def test_how_the_answer_is_cut_makes_no_difference(given: str) -> None:
    whole = cited(given).text  # type: ignore[attr-defined]
    assert {cited(given, seed=seed).text for seed in range(60)} == {whole}  # type: ignore[attr-defined]


def test_without_passages_no_number_is_left() -> None:
    assert cited("It opens at nine [1].", passages=[]).text == "It opens at nine."  # type: ignore[attr-defined]


def test_text_leaves_at_once() -> None:
    out = CitedText(Support(PASSAGES))
    assert out.feed("The") == "The"
    assert out.feed(" obser") == " obser"
    assert out.feed("vatory opens") == "vatory opens"
    assert out.feed(" [") == ""
    assert out.feed("old]") == " [old]"


def test_what_was_done_is_counted() -> None:
    out = cited(
        "Tickets cost 12 euros [2]. Coffee is served on the roof [9]. Yes. The mirror was polished in Jena."
    )
    assert out.cited == {1, 2}
    assert out.n_removed == 2
    assert out.n_without == 1


def test_numbers_are_taken_out_for_the_model() -> None:
    assert without_numbers("It opens [1]. So [2][3] be it, a[0] [link](x) [1](y).") == (
        "It opens. So be it, a [link](x) [1](y)."
    )


def test_content_words_are_counted() -> None:
    assert n_content_words("And what about that?") < 2
    assert n_content_words("When does the observatory open on Saturdays?") >= 3


def test_words_from_all_over_a_passage_make_no_support() -> None:
    apart = "The answer is shown. No word. No word. Stop ends it. No word. No word. The microphone is loud."
    assert Support([apart]).numbers("The microphone ends the answer", [1]) == ()
    assert Support([apart]).numbers("The microphone is loud", []) == (1,)


def test_a_passage_of_one_or_no_sentence() -> None:
    assert Support(["Lions sleep", "", "..."]).numbers("The lions sleep.", [2]) == (1,)
