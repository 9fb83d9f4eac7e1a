"""Recordings as documents: a page for every ten minutes, passages of whole segments with their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from serve_apps.documents.cutting import cut
from serve_apps.documents.structure import Block, StructuredPage, printable
from serve_apps.wire import Segment
from serve_apps.wire_knowledge import Page, Passage

_PAGE_S = 600.0


def from_segments(
    segments: Sequence[Segment], passage_characters: int
) -> tuple[tuple[Page, ...], tuple[Passage, ...]]:
    """Pages and passages of what was said; passages end where segments do, unless a segment is too long."""
    spoken = [
        replace(segment, text=text) for segment in segments if (text := printable(segment.text).strip())
    ]
    pages: list[Page] = []
    passages: list[Passage] = []
    for slot, group in groupby(spoken, key=lambda segment: int(segment.start_s // _PAGE_S)):
        said = list(group)
        page = _page(len(pages) + 1, slot, said)
        pages.append(Page(number=page.number, text=page.text, label=page.label))
        for passage in cut([page], passage_characters):
            passages.append(replace(_timed(passage, page, said), index=len(passages)))
    return tuple(pages), tuple(passages)


def _page(number: int, slot: int, said: Sequence[Segment]) -> StructuredPage:
    blocks: list[Block] = []
    at = 0
    for segment in said:
        blocks.append(Block("row", at, at + len(segment.text)))
        at += len(segment.text) + 1
    label = f"{_clock(slot * _PAGE_S)}–{_clock(max(segment.end_s for segment in said))}"
    text = "\n".join(segment.text for segment in said)
    return StructuredPage(number=number, text=text, blocks=tuple(blocks), label=label, fresh=True)


def _timed(passage: Passage, page: StructuredPage, said: Sequence[Segment]) -> Passage:
    overlapping = list(_overlapping(passage, page, said))
    starts = [_at(segment, passage.start - block.start) for segment, block in overlapping[:1]]
    ends = [_at(segment, passage.end - block.start) for segment, block in overlapping[-1:]]
    return replace(passage, start_s=starts[0], end_s=ends[0])


def _overlapping(
    passage: Passage, page: StructuredPage, said: Sequence[Segment]
) -> Iterator[tuple[Segment, Block]]:
    for segment, block in zip(said, page.blocks, strict=True):
        if block.start < passage.end and passage.start < block.end:
            yield segment, block


def _at(segment: Segment, offset: int) -> float:
    """When a character of the segment is said: taken to be evenly spread."""
    share = min(max(offset / len(segment.text), 0.0), 1.0)
    return segment.start_s + share * (segment.end_s - segment.start_s)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
