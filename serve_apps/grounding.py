"""From ranked passages to what the model reads: as many as fit, marked as quotations, numbered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from serve_apps.args import RetrievalArgs
from serve_apps.citations import without_numbers
from serve_apps.token_counts import TokenCounts
from serve_apps.wire import Message, Source
from serve_apps.wire_knowledge import DocumentKind, Hit, Scored

_OUR_MARKS = re.compile(r"<(?=\s*/?\s*passage\b)", re.IGNORECASE)
_PARTS: dict[DocumentKind, str] = {"pdf": "page", "pptx": "slide", "xlsx": "sheet", "epub": "chapter"}
"""What a page is called, where a document has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """The passages that the model reads, and the conversation with them in it."""

    sources: tuple[Source, ...]
    messages: tuple[Message, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of what the model may read."""

    passages: Mapping[str, int]
    """By the id of the source, as quoted."""
    history: tuple[int, ...]
    """Of each message before the question."""


async def counted(tokens_of: TokenCounts, messages: Sequence[Message], hits: Sequence[Hit]) -> Counts:
    """Count the tokens of `hits`, in any order, and of the conversation before the question.

    Args:
        tokens_of: counts in the model's own tokens.
        messages: the conversation, without a system message, the question last.
        hits: what may be quoted; without any nothing is asked of the model.
    """
    if not hits:
        return Counts({}, ())
    sources = [source(Scored(hit=hit, score=hit.score)) for hit in hits]
    # The longest number that any of them may get: none is longer than it was counted.
    quoted = [quotation(len(hits), one) for one in sources]
    tokens = await tokens_of.of([*quoted, *(message.content for message in messages[:-1])])
    counts = {one.id: count for one, count in zip(sources, tokens, strict=False)}
    return Counts(counts, tuple(tokens[len(sources) :]))


def grounded(
    messages: Sequence[Message],
    hits: Sequence[Scored],
    counts: Counts,
    n_passages: int,
    args: RetrievalArgs,
) -> Grounds:
    """Put what fits of `hits` into the last message, and shorten the history to what may stand beside it.

    Args:
        messages: as they were counted.
        hits: best first; all of them were counted.
        counts: of `counted`.
        n_passages: how many at most.
        args: the budgets in tokens.
    """
    history, question = list(messages[:-1]), messages[-1].content
    chosen = [source(item) for item in hits[:n_passages]]
    n_fitting, first_share = _fitting([counts.passages[one.id] for one in chosen], args.max_context_tokens)
    sources = chosen[:n_fitting]
    if first_share < 1:
        sources[0] = _cut(sources[0], first_share)
    kept = _newest(history, counts.history, args.max_history_tokens)
    return Grounds(
        sources=tuple(sources),
        messages=(*kept, Message(role="user", content=_asked(sources, question))),
        notes=tuple(_notes(len(chosen) - n_fitting, first_share, len(history) - len(kept))),
    )


def source(item: Scored) -> Source:
    """A hit as the user sees it."""
    hit = item.hit
    passage, document = hit.passage, hit.document
    return Source(
        id=f"{document.id}:{passage.index}",
        title=title(hit),
        text=passage.text,
        score=item.score,
        url=f"v1/documents/{document.id}/pages/{passage.page}?start={passage.start}&end={passage.end}",
        document_id=document.id,
        collection_id=document.collection_id,
        passage=passage.index,
        page=passage.page,
        start=passage.start,
        end=passage.end,
        headings=passage.headings,
        start_s=passage.start_s,
        end_s=passage.end_s,
        sha256=document.sha256,
    )


def title(hit: Hit) -> str:
    """Document and place, for people: `Handbook.pdf, page 3`."""
    document, passage = hit.document, hit.passage
    if passage.start_s is not None:
        minutes, seconds = divmod(int(passage.start_s), 60)
        return f"{document.name}, {minutes}:{seconds:02d}"
    if document.n_pages > 1:
        return f"{document.name}, {_PARTS.get(document.kind, 'page')} {passage.page}"
    return document.name


def quotation(number: int, quoted: Source) -> str:
    """A passage as the model reads it; its text cannot end the quotation."""
    place = " > ".join((quoted.title, *quoted.headings)).replace('"', "'")
    text = _OUR_MARKS.sub("‹", quoted.text)  # noqa: RUF001
    return f'<passage number="{number}" from="{_OUR_MARKS.sub("‹", place)}">\n{text}\n</passage>'  # noqa: RUF001


def _asked(sources: Sequence[Source], question: str) -> str:
    quoted = "\n".join(quotation(number, found) for number, found in enumerate(sources, 1))
    return f"{quoted}\n\nQuestion: {question}"


def _fitting(counts: Sequence[int], max_tokens: int) -> tuple[int, float]:
    """How many of the first passages fit, and what share of the first one does."""
    total = 0
    for n, count in enumerate(counts):
        total += count
        if total > max_tokens:
            return max(n, 1), min(1.0, max_tokens / count) if n == 0 else 1.0
    return len(counts), 1.0


def _cut(long: Source, share: float) -> Source:
    """The beginning of a passage, to the end of a word."""
    text = long.text[: max(1, int(len(long.text) * share))]
    return replace(long, text=text.rsplit(None, 1)[0] if " " in text else text)


def _newest(history: Sequence[Message], counts: Sequence[int], max_tokens: int) -> list[Message]:
    """The newest exchanges that fit; what was cited in them is taken out, the numbers were others."""
    kept: list[Message] = []
    for message, count in zip(reversed(history), reversed(counts), strict=True):
        max_tokens -= count
        if max_tokens < 0:
            break
        kept.insert(0, Message(role=message.role, content=without_numbers(message.content)))
    while kept and kept[0].role != "user":
        kept.pop(0)
    return kept


def _notes(n_left_out: int, first_share: float, n_forgotten: int) -> list[str]:
    notes = []
    if n_left_out:
        what = "passage" if n_left_out == 1 else "passages"
        notes.append(f"{n_left_out} more {what} matched and did not fit what the model reads at once.")
    if first_share < 1:
        notes.append("The best passage is longer than the model reads at once: its beginning was read.")
    if n_forgotten:
        what = "message" if n_forgotten == 1 else f"{n_forgotten} messages"
        notes.append(f"To leave room for the documents, the oldest {what} of the conversation was not read.")
    return notes
