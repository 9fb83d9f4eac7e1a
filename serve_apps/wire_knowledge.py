"""Values of the knowledge stage and of ingest: collections, documents, passages, searches, progress.

Plain frozen dataclasses, like `serve_apps.wire`. A document is a file or page as it was given; a page is a
part of it as a reader would turn to it (a PDF's page, a slide, a sheet, a chapter, else the whole);
a passage is a stretch of one page that is embedded and found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SearchMethod = Literal["hybrid", "dense", "bm25"]
DocumentKind = Literal[
    "pdf", "docx", "pptx", "xlsx", "html", "epub", "markdown", "text", "code", "csv", "audio"
]


# ---- collections and documents -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Documents that are searched together, embedded by one model."""

    id: str
    name: str
    owner: str
    """The user whose it is."""
    shared: bool
    """Everybody may read it; only the owner changes it."""
    embedding_model: str
    """`ModelCard.model` of the stage that made its vectors; empty before the first document."""
    dimensions: int
    """Of its vectors; 0 before the first document."""
    n_documents: int
    n_passages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a document, as its reader sees it; the text that character spans count in."""

    number: int
    """From 1."""
    text: str
    label: str = ""
    """What people call it where it is not a number: a sheet's or chapter's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of one page, small enough to embed."""

    index: int
    """Its place in the document, from 0."""
    text: str
    page: int
    start: int
    end: int
    """`page.text[start:end]` is where it stands (its text may be tidied)."""
    headings: tuple[str, ...] = ()
    """The path of headings above it, outermost first."""
    start_s: float | None = None
    end_s: float | None = None
    """When it is said, in a recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document that is about to be added."""

    name: str
    """What people see; unique in its collection: the same name again replaces it."""
    kind: DocumentKind
    media_type: str
    sha256: str
    """Of the file's bytes, hexadecimal."""
    size_bytes: int
    url: str = ""
    """Where it was fetched, if it was."""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document of a collection."""

    id: str
    collection_id: str
    name: str
    kind: DocumentKind
    media_type: str
    sha256: str
    size_bytes: int
    n_pages: int
    n_passages: int
    added_s: float
    """Unix time."""
    url: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What a deletion did, counted in the store afterwards."""

    n_documents: int
    n_passages: int
    """Removed."""
    n_remaining: int
    """Vectors of it that a search could still find: 0, or the deletion failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Permission to add one document's passages; see `contracts_knowledge.Knowledge.begin`."""

    document_id: str
    collection_id: str
    unchanged: bool = False
    """The same bytes are there under the same name already: there is nothing to do."""


# ---- search ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a search is limited to; empty fields do not limit. Values are data, never parts of a query."""

    documents: tuple[str, ...] = ()
    """Document ids."""
    names: tuple[str, ...] = ()
    """Document names, whole."""
    kinds: tuple[DocumentKind, ...] = ()
    tags: tuple[str, ...] = ()
    """Documents with any of them."""
    added_after_s: float | None = None
    added_before_s: float | None = None
    """Unix times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A passage that a search found, and why."""

    passage: Passage
    document: Document
    score: float
    """What the list is sorted by: fused (`serve_apps.catalogue.fusion`), cosine or BM25, as asked."""
    cosine: float | None = None
    bm25: float | None = None
    """Higher is better; None when that search did not find it."""
    dense_rank: int | None = None
    bm25_rank: int | None = None
    """From 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTimings:
    """Where a search's time went, in milliseconds."""

    dense_ms: float
    bm25_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Hits, best first."""

    hits: tuple[Hit, ...]
    timings: SearchTimings
    left_out: tuple[str, ...] = ()
    """Names of collections that were not asked for by name and were made with another embedding model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A hit with the score that it is ordered by: the reranker's, or the search's without one."""

    hit: Hit
    score: float
    reranked: bool = False


# ---- ingest ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFile:
    """A file to ingest. One of `path` and `data` holds its bytes."""

    name: str
    """As the user knows it; may hold folders, `notes/2024.md`."""
    path: str = ""
    """On this machine, readable by the process that ingests; the caller deletes it afterwards."""
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """What to add to a collection. ZIP archives among the files are opened."""

    user: str
    collection_id: str
    files: tuple[GivenFile, ...] = ()
    urls: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


IngestStep = Literal["waiting", "reading", "transcribing", "embedding", "storing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProgress:
    """Where one file is."""

    name: str
    step: IngestStep
    done: float
    """Share of this step, 0 to 1."""
    index: int
    """Which of the files, from 0."""
    n_files: int
    """Known so far; archives add to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAdded:
    """A file is in the collection: acknowledged, it survives any crash from here on."""

    name: str
    document: Document
    n_duplicates: int = 0
    """Passages left out because the document says them already."""
    notes: tuple[str, ...] = ()
    """What of it could not be read, in words for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSkipped:
    """A file was the same already."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFailed:
    """A file could not be added; the others go on."""

    name: str
    code: str
    message: str
    """What happened and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestDone:
    """The end of an ingest: the report; always the last event."""

    n_added: int
    n_skipped: int
    n_failed: int
    n_passages: int
    duration_s: float
    failed: tuple[FileFailed, ...] = field(default=())


IngestEvent = FileProgress | FileAdded | FileSkipped | FileFailed | IngestDone


# ---- what the chat turn asks for ----------------------------------------------------------------

KnowledgeMode = Literal["documents_only", "documents_first", "no_documents"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """How a turn uses documents. None in a field: as the conductor is configured."""

    mode: KnowledgeMode = "documents_first"
    collections: tuple[str, ...] = ()
    """Collection ids; empty: every one that the user may read."""
    method: SearchMethod = "hybrid"
    n_candidates: int | None = None
    """Passages that the search gives the reranker."""
    n_passages: int | None = None
    """Passages that the model reads, if they fit."""
    rerank: bool = True
    min_score: float | None = None
    """Passages below are not used: the reranker's score, or the cosine without one."""
    filters: Filters = Filters()
