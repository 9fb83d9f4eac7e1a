"""Bodies of the conversations' door as its callers send them, strictly checked, and what they ask for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from serve_apps.errors import InputError
from serve_apps.knowledge_requests import FiltersBody
from serve_apps.rest import MAX_TAGS, Id, Label, Strict
from serve_apps.wire import TurnRequest
from serve_apps.wire_conversations import AskRequest, ConversationChange, ExportFormat, ListRequest, Thumb
from serve_apps.wire_knowledge import Filters, KnowledgeMode, Retrieval, SearchMethod

MAX_TEXT_CHARACTERS = 200_000
MAX_IDS = 10_000


class ChangeBody(Strict):
    """PATCH of a conversation; what is left out stays."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = (
        None
    )
    folder: Label | None = None
    tags: Annotated[list[Label], Field(max_length=MAX_TAGS)] | None = None
    pinned: bool | None = None
    shown: Id | None = None

    def to_wire(self) -> ConversationChange:
        """The change, tags once each and without empty ones."""
        tags = None if self.tags is None else tuple(dict.fromkeys(tag for tag in self.tags if tag))
        return ConversationChange(
            title=self.title, folder=self.folder, tags=tags, pinned=self.pinned, shown=self.shown
        )


class IdsBody(Strict):
    """Several conversations."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]


class FeedbackBody(Strict):
    """What somebody thinks of an answer; no thumb takes it back."""

    thumb: Thumb | None = None
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)] = ""


class _Retrieval(Strict):
    mode: KnowledgeMode = "documents_first"
    collections: tuple[Id, ...] = ()
    method: SearchMethod = "hybrid"
    n_candidates: int | None = Field(default=None, ge=1, le=1000)
    n_passages: int | None = Field(default=None, ge=1, le=100)
    rerank: bool = True
    min_score: float | None = None
    filters: FiltersBody = FiltersBody()

    def to_wire(self) -> Retrieval:
        return Retrieval(**{**dict(self), "filters": Filters(**dict(self.filters))})


class AskBody(Strict):
    """A question, where it stands in its conversation, and the settings of the turn that answers it."""

    text: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS)] = ""
    parent_id: Id | None = None
    from_start: bool = False
    answer_again: Id | None = None
    stream: bool = True
    system_prompt: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS)] = ""
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    retrieval: _Retrieval | None = None

    def to_wire(self, user: str, conversation_id: str | None) -> AskRequest:
        """The question of `user`.

        Raises:
            InputError: there is no text, and no question to answer again.
        """
        if not self.text.strip() and self.answer_again is None:
            raise InputError("There is no question.", "Send 'text', or 'answer_again' with a question's id.")
        return AskRequest(
            user=user,
            text=self.text,
            conversation_id=conversation_id,
            parent_id=self.parent_id,
            from_start=self.from_start,
            answer_again=self.answer_again,
            turn=self._turn(user),
        )

    def _turn(self, user: str) -> TurnRequest:
        return TurnRequest(
            messages=(),
            system_prompt=self.system_prompt,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=self.stop,
            caller=user,
            user=user,
            retrieval=self.retrieval.to_wire() if self.retrieval else None,
        )


class ListQuery(Strict):
    """The query of a list."""

    search: Annotated[str, StringConstraints(max_length=1000)] = ""
    folder: str | None = None
    tag: str | None = None
    limit: int = Field(default=50, ge=1, le=500)
    offset: int = Field(default=0, ge=0)

    def to_wire(self, user: str) -> ListRequest:
        """One more than asked for, which tells whether there are more."""
        return ListRequest(user=user, **{**dict(self), "limit": self.limit + 1})


class ExportQuery(Strict):
    """The query of an export: ids with commas between them, none for all."""

    ids: str = ""
    format: ExportFormat = "markdown"

    def listed(self) -> list[str]:
        """The ids."""
        return [found for found in self.ids.split(",") if found]
