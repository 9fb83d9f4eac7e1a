"""Citations as links, and the list of sources: hostile texts stay texts, and only ours become links."""

from __future__ import annotations

import re
from html import unescape

import pytest

from serve_apps.wire import Source
from ui.markup import defuse
from ui.sources import cited, linked, place, sources_message, unlinked

URL = "v1/documents/0a1b/pages/2?start=10&end=42"
HOSTILE = "<img src=x onerror=alert(1)>\"'`**b** [l](javascript:x) $$x$$ \\(y\\)\n\n# h \u202efdp"


def source(title: str = "Handbook.pdf, page 2", url: str = URL, **more: object) -> Source:
    return Source(id="s", title=title, text="Leave is 25 days.", score=0.714, url=url, **more)  # type: ignore[arg-type]


def links(markdown: str) -> list[str]:
    """The addresses of our own links."""
    return [unescape(href) for href in re.findall(r'<a class="ray-[a-z]+" href="([^"]*)"', markdown)]


def listed(message: dict[str, object]) -> str:
    content: list[dict[str, str]] = message["content"]  # type: ignore[assignment]
    return content[0]["text"]


def test_a_number_leads_to_its_passage() -> None:
    text = linked("Leave is 25 days [1][2].", [source(), source(url=URL.replace("pages/2", "pages/3"))])
    assert links(text) == [f"../../{URL}", f"../../{URL.replace('pages/2', 'pages/3')}"]
    assert 'title="Source 1&#58; Handbook&#46;pdf&#44; page 2"' in text
    assert unlinked(text) == "Leave is 25 days [1][2]."


@pytest.mark.parametrize(
    "text",
    [
        "`a[1]`",
        "```python\nx[1]\n```",
        "~~~\n[1]",
        "$$a[1]$$",
        "\\(a[1]\\)",
        "\\[ a[1] \\]",
        "[0] [01] [1234] [ 1 ] [^1] \\[1]",
    ],
)
def test_code_formulas_and_other_brackets_are_untouched(text: str) -> None:
    assert linked(text, [source()]) == text


def test_a_number_without_a_source_is_text_and_names_no_link() -> None:
    text = linked("[7](https://evil.example) and [x][7]\n\n[7]: https://evil.example", [source()])
    assert "[7]" not in text
    assert unlinked(text).startswith("[7](https://evil.example) and [x][7]")


def test_an_answer_cannot_make_our_links() -> None:
    forged = (
        f'<a class="ray-cite" href="../../{URL}">1</a> [1](https://evil.example) ![1](https://evil.example/p)'
    )
    text = linked(defuse(forged), [source(title="Real.pdf")])
    assert links(text) == [f"../../{URL}"] * 2
    assert text.count("Real&#46;pdf") == 2
    assert '<a class="ray-cite" href="../../' not in text  # ours are written in references


@pytest.mark.parametrize(
    "url",
    ["", "https://evil.example/v1/documents/a/pages/1", "javascript:alert(1)", "v1/documents/../../x/pages/1",
     "v1/documents/a/pages/1?start=1&end=2#x", "v1/documents/a/pages/1\n"],
)  # fmt: skip
def test_a_source_that_names_no_page_of_ours_is_no_link(url: str) -> None:
    assert links(linked("See [1].", [source(url=url)])) == []
    assert links(listed(sources_message([source(url=url)], "See [1]."))) == []


def test_what_documents_are_called_is_text() -> None:
    hostile = source(title=HOSTILE, headings=(HOSTILE,))
    for made in (linked("See [1].", [hostile]), listed(sources_message([hostile], "See [1]."))):
        tags = re.findall(r"<[^>]*>", made)
        assert {tag.split()[0].strip("</>") for tag in tags} <= {"a", "div", "ul", "li", "span", "p"}
        assert not re.search(r"onerror=|\*\*|`|\$\$|\]\(|\n|\u202e", made)


def test_the_list_says_what_was_cited_and_what_was_read_besides() -> None:
    found = [source(f"Document {n}") for n in (1, 2, 3)]
    text = listed(sources_message(found, "First [3], then [1], `[2]`."))
    before, after = text.split("<details>")
    assert re.findall(r"Document \d", before) == ["Document 1", "Document 3"]
    assert "Also read: 1 passage" in after
    assert "Document 2" in after
    assert "0.71" in before
    assert sources_message(found, "[3]")["metadata"] == {"title": "Sources: 1 cited"}
    assert "<details open>" in listed(sources_message(found, "No numbers."))


def test_cited_numbers_are_those_of_sources() -> None:
    assert cited("[2] [1] [2] [9] `[3]`", [source()] * 3) == [1, 2]


def test_a_place_is_said_as_people_do() -> None:
    spoken = source("Talk.mp3, page 1", headings=("A", "B"), start_s=75.4)
    assert place(spoken) == "Talk.mp3, page 1 · A > B · at 1:15"
