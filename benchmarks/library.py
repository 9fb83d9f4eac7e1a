"""Documents to ingest and questions about them: invented prose, always the same, no two sections alike."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import typst

SECTIONS_EACH = 30
"""Of one document; a section is about one passage of the product's default length."""
_SYLLABLES = (
    "bar",
    "den",
    "fal",
    "gor",
    "hest",
    "kir",
    "lun",
    "mor",
    "nes",
    "oster",
    "pell",
    "ran",
    "sund",
    "tor",
)
_ENDINGS = ("by", "dale", "ford", "holm", "mouth", "wick", "stead", "haven")
_THINGS = (
    "ferry", "library", "observatory", "bakery", "reservoir", "tram", "archive", "orchard", "foundry",
    "swimming hall", "seed store", "bell tower", "weir", "printing house", "cable car", "museum", "ice house",
    "harbour",
)  # fmt: skip
_SENTENCES = (
    "The {thing} of {place} was built in {year} and has been repaired {few} times since.",
    "It opens at {hour} in the morning and closes at {evening} in the evening, on Sundays an hour later.",
    "A visit costs {few} crowns, half of that for children, and nothing on the first Monday of a month.",
    "Its keeper, {name}, writes every fault into the book that hangs beside the eastern door.",
    "In the winter of {year} it stood under water for {days} days, and the pumps of {other} were borrowed.",
    "Whoever wants to see the cellar asks {name} {days} days before, with form {code}.",
    "The council of {other} pays {percent} per cent of the costs since the two places share one road.",
    "Dogs wait outside, bicycles stand behind the wall, and nobody smokes within {days} metres of the gate.",
    "The machine that {name} ordered weighs {weight} kilograms and is oiled on every {few}th day.",
    "Old people say that a bell of {place} can be heard as far as {other} when the wind comes from the sea.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A document as a user has it."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    place: str
    thing: str
    text: str


def place(number: int) -> str:
    """The name of the `number`-th place; no two are the same up to some twenty thousand."""
    number, ending = divmod(number, len(_ENDINGS))
    names = []
    while True:
        number, at = divmod(number, len(_SYLLABLES))
        names.append(_SYLLABLES[at])
        if not number:
            return "".join(names).capitalize() + _ENDINGS[ending]


def section_text(number: int) -> str:
    """About 450 characters about one thing in one place."""
    return _section(number).text


def questions(n_questions: int, n_sections: int) -> list[str]:
    """Questions about sections all over a library of `n_sections`."""
    step = max(1, n_sections // n_questions)
    asked = itertools.islice(itertools.cycle(range(0, n_sections, step)), n_questions)
    found = [_section(number) for number in asked]
    return [f"When does the {section.thing} of {section.place} open?" for section in found]


def files(n_sections: int, first: int = 0) -> Iterator[File]:
    """Text, Markdown and PDF files in turn, with sections `first` to `first + n_sections`."""
    for start in range(first, first + n_sections, SECTIONS_EACH):
        numbers = range(start, min(start + SECTIONS_EACH, first + n_sections))
        yield _file(start // SECTIONS_EACH, [_section(number) for number in numbers])


def _section(number: int) -> _Section:
    chance = random.Random(number)  # noqa: S311 -- the same library every time is the point
    here, thing = place(number), _THINGS[number % len(_THINGS)]
    facts = {
        "place": here,
        "thing": thing,
        "other": place(chance.randrange(20_000)),
        "name": f"{place(chance.randrange(2000))[:6]} {place(chance.randrange(2000))[:7]}",
        "year": chance.randrange(1820, 1990),
        "few": chance.randrange(2, 12),
        "hour": chance.randrange(6, 11),
        "evening": chance.randrange(4, 11),
        "days": chance.randrange(3, 40),
        "percent": chance.randrange(5, 60),
        "weight": chance.randrange(80, 3000),
        "code": f"{here[:2].upper()}-{chance.randrange(10, 99)}",
    }
    first, *rest = _SENTENCES
    told = [first, *chance.sample(rest, 4)]
    return _Section(place=here, thing=thing, text=" ".join(sentence.format(**facts) for sentence in told))


def _file(number: int, sections: list[_Section]) -> File:
    kind = ("txt", "md", "pdf")[number % 3]
    name = f"report-{number:04d}.{kind}"
    if kind == "pdf":
        return File(name=name, data=_pdf(sections))
    mark = "## " if kind == "md" else ""
    parts = [f"{mark}{_heading(section)}\n\n{section.text}\n" for section in sections]
    return File(name=name, data="\n".join(parts).encode())


def _pdf(sections: list[_Section]) -> bytes:
    parts = [f"#heading({json.dumps(_heading(one))})\n#par[#{json.dumps(one.text)}]\n" for one in sections]
    compiled: bytes = typst.compile("".join(parts).encode())
    return compiled


def _heading(section: _Section) -> str:
    return f"The {section.thing} of {section.place}"
