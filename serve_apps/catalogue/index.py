"""Keeps the vector store in step with the catalogue. Blocking, and called on one thread: the only writer."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import Engine

from serve_apps.catalogue.adding import Adding
from serve_apps.catalogue.damage import opened_or_replaced
from serve_apps.catalogue.generations import Generation, Generations
from serve_apps.catalogue.leaving import LEASE_S, Leaving, Removing
from serve_apps.catalogue.rows import passage_key
from serve_apps.catalogue.tables import MAX_PASSAGES
from serve_apps.catalogue.words import CatalogueWords
from serve_apps.contracts_store import SearchScope, VectorStore
from serve_apps.errors import InputError, StageError, StageFailed
from serve_apps.memory import give_back
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Deleted, Document, NewDocument, Page, Passage, Ticket

logger = logging.getLogger(__name__)

FLUSH_ROWS = 2000
"""Milvus Lite looks through what is not flushed one by one: 30 ms a search for a thousand."""
EVERYTHING = SearchScope()


class KnowledgeIndex:
    """Every change of documents, in the catalogue and in the store.

    What is added goes into the catalogue first, what is removed leaves it last: whatever a crash leaves
    half done can be seen there.
    """

    def __init__(self, database: Engine, store: VectorStore, words: CatalogueWords | None) -> None:
        self._adding = Adding(database)
        self._removing = Removing(database)
        self._generations = Generations(database)
        self._store = store
        self._words = words
        self._has_traces = False
        self._has_changed = self._is_changing = False
        self._unflushed: Counter[str] = Counter()
        self._inserted: defaultdict[int, set[int]] = defaultdict(set)

    # ---- documents in --------------------------------------------------------------------------

    def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> Ticket:
        """See `Knowledge.begin`."""
        ticket, generation = self._adding.begin(user, collection_id, document, embedding_model, dimensions)
        self._store.create(generation.store_name, generation.dimensions)
        return ticket

    def add_pages(self, ticket: Ticket, pages: Sequence[Page], original: bytes | None) -> None:
        """See `Knowledge.add_pages`."""
        self._adding.add_pages(ticket, pages, original)

    def add_passages(self, ticket: Ticket, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `Knowledge.add_passages`."""
        key, generation = self._adding.generation(ticket)
        _check(generation, vectors)
        self._adding.add_passages(ticket, passages, vectors)
        self._insert(
            generation,
            [passage_key(key, passage.index) for passage in passages],
            [key] * len(passages),
            [passage.text for passage in passages],
            vectors,
        )
        self._inserted[key].update(passage.index for passage in passages)

    def commit(self, ticket: Ticket) -> Document:
        """See `Knowledge.commit`; a second one changes nothing."""
        if (ready := self._adding.ready(ticket)) is not None:
            return ready
        key, generation = self._adding.generation(ticket)
        self._complete(generation, key, self._adding.n_passages(key))
        document, replaced = self._adding.commit(ticket)
        try:
            self.purge(replaced)
        except StageError as error:
            logger.warning("%s The document it replaces is hidden, and is removed later.", error)
        return document

    # ---- documents out -------------------------------------------------------------------------

    def abandon(self, ticket: Ticket) -> None:
        """See `Knowledge.abandon`."""
        self.purge(self._removing.abandon(ticket))

    def hide(self, user: str, document_id: str) -> list[Leaving]:
        """From here on no search returns it; `purge` does the rest."""
        return self._removing.delete(user, document_id)

    def hide_collection(self, user: str, collection_id: str) -> list[Leaving]:
        """The same for a collection; `purge_collection` does the rest."""
        return self._removing.delete_collection(user, collection_id)

    def purge_collection(self, collection_id: str, leaving: Sequence[Leaving]) -> Deleted:
        """Remove a collection that nobody sees any more."""
        n_remaining = self._purge_collection(collection_id)
        return Deleted(
            n_documents=len(leaving),
            n_passages=sum(one.n_passages for one in leaving),
            n_remaining=n_remaining,
        )

    def purge(self, leaving: Sequence[Leaving]) -> Deleted:
        """Remove documents that nothing finds any more, and count what is left of them.

        Raises:
            StageFailed: the store still has some of them; they stay hidden, and are tried again.
        """
        for collection_id in {one.collection_id for one in leaving}:
            keys = [one.key for one in leaving if one.collection_id == collection_id]
            for generation in self._generations.of_collection(collection_id):
                self._remove(generation.store_name, keys)
            for key in keys:
                self._inserted.pop(key, None)
        if leaving:
            self._removing.forget(leaving)
            self._has_traces = True
        return Deleted(
            n_documents=len(leaving), n_passages=sum(one.n_passages for one in leaving), n_remaining=0
        )

    # ---- re-index ------------------------------------------------------------------------------

    def begin_reindex(self, user: str, collection_id: str, embedding_model: str, dimensions: int) -> str:
        """See `Knowledge.begin_reindex`."""
        generation = self._generations.begin(user, collection_id, embedding_model, dimensions)
        self._store.create(generation.store_name, dimensions)
        return generation.id

    def add_reindexed(
        self, generation_id: str, passages: Sequence[tuple[str, Passage]], vectors: Vectors
    ) -> None:
        """See `Knowledge.add_reindexed`."""
        generation = self._generations.one(generation_id)
        _check(generation, vectors)
        keys = self._generations.add(generation_id, passages, vectors)
        kept = [n for n, key in enumerate(keys) if key]
        if kept:
            self._insert(
                generation,
                [keys[n] for n in kept],
                [keys[n] // MAX_PASSAGES for n in kept],
                [passages[n][1].text for n in kept],
                vectors[kept],
            )

    def finish_reindex(self, generation_id: str) -> str:
        """See `Knowledge.finish_reindex`; returns the collection's id."""
        self._check(self._generations.one(generation_id))
        collection_id = self._generations.finish(generation_id)
        self.sweep()
        return collection_id

    # ---- after a crash -------------------------------------------------------------------------

    def recover(self) -> None:
        """Finish what was begun, and put into the store what it lacks: it may be new, or have lost power."""
        self.sweep()
        for generation in self._generations.current():
            self._check(generation)
        if not self._store.is_shared:
            known = {generation.store_name for generation in self._generations.all()}
            for name in self._store.names() - known:
                self._store.drop(name)

    def scrub(self) -> None:
        """After deletions: leave no trace of them in the database's files."""
        if self._words is not None and self._has_traces:
            self._has_traces = False
            self._words.scrub()

    def tidy(self) -> None:
        """After changes, when none came since the last call: what they needed is free for others."""
        if self._has_changed and not self._is_changing:
            self._has_changed = False
            give_back()
        self._is_changing = False

    def sweep(self, lease_s: float = LEASE_S) -> None:
        """Remove what nobody will come back for: what was not touched for `lease_s`."""
        before_s = time.time() - lease_s
        if leaving := self._removing.left_behind(before_s):
            self.purge(leaving)
        for collection_id in self._removing.collections_left_behind():
            self._purge_collection(collection_id)
        for generation in self._generations.left_behind(before_s):
            self._store.drop(generation.store_name)
            self._generations.forget(generation.id)

    # ---- the store -----------------------------------------------------------------------------

    def _insert(
        self,
        generation: Generation,
        keys: Sequence[int],
        documents: Sequence[int],
        texts: Sequence[str],
        vectors: Vectors,
    ) -> None:
        name = generation.store_name
        self._store.insert(name, keys, documents, texts, vectors)
        self._unflushed[name] += len(keys)
        if self._unflushed[name] >= FLUSH_ROWS:
            self._flush(name)

    def _flush(self, name: str) -> None:
        self._store.flush(name)
        self._unflushed.pop(name, None)
        self._has_changed = self._is_changing = True

    def _complete(self, generation: Generation, document_key: int, n_passages: int) -> None:
        """See that the store has all of a document, and has written it down.

        One flush serves all documents that were added before it. Counting takes longer the more is stored:
        it is for what another process, now dead, began.
        """
        name, here = generation.store_name, SearchScope(documents=(document_key,))
        if self._unflushed[name]:
            self._flush(name)
        if len(self._inserted.pop(document_key, ())) == n_passages:
            return
        self._flush(name)
        if self._store.count(name, here) == n_passages:
            return
        logger.warning("the vector store has lost passages of document %d; copying them again", document_key)
        self._copy(generation, document_key)
        if (n_found := self._store.count(name, here)) != n_passages:
            raise StageFailed(
                "knowledge", f"The vector store has {n_found:,} of {n_passages:,} passages.", "Try again."
            )

    def _check(self, generation: Generation) -> None:
        """See that the store has every vector of a generation that can be found."""
        opened_or_replaced(self._store, generation.store_name, generation.dimensions)
        scope = SearchScope(without=tuple(self._generations.unready(generation.collection_id)))
        n_wanted = self._generations.n_ready(generation)
        n_found = self._store.count(generation.store_name, scope)
        if n_found == n_wanted:
            return
        logger.warning(
            "the vector store has %d of the %d passages of collection %s; copying them from the catalogue",
            n_found,
            n_wanted,
            generation.collection_id,
        )
        if not self._store.is_shared:  # another replica may be writing to a server's
            self._store.drop(generation.store_name)
            self._store.create(generation.store_name, generation.dimensions)
        self._copy(generation, None)

    def _copy(self, generation: Generation, document_key: int | None) -> None:
        n_done = 0
        for batch in self._generations.copies(generation, document_key):
            self._insert(generation, batch.keys, batch.documents, batch.texts, batch.vectors)
            n_done += len(batch.keys)
            logger.info("copied %d vectors into %s", n_done, generation.store_name)
        self._flush(generation.store_name)

    def _remove(self, name: str, keys: Sequence[int]) -> None:
        if name not in self._store.names():
            return
        self._store.delete(name, keys)
        self._flush(name)
        n_left = self._store.count(name, SearchScope(documents=tuple(keys)))
        if n_left:
            raise StageFailed(
                "knowledge",
                f"The vector store still has {n_left:,} passages that were deleted.",
                "No search returns them; deleting is tried again in a minute.",
            )

    def _purge_collection(self, collection_id: str) -> int:
        n_remaining = 0
        for generation in self._generations.of_collection(collection_id):
            self._store.drop(generation.store_name)
            n_remaining += self._store.count(generation.store_name, EVERYTHING)
            self._generations.forget(generation.id)
        self._removing.forget_collection(collection_id)
        self._has_traces = True
        return n_remaining


def _check(generation: Generation, vectors: Vectors) -> None:
    if vectors.shape[1] != generation.dimensions:
        raise InputError(
            f"The vectors have {vectors.shape[1]} numbers, the collection's {generation.dimensions}.",
            f"Embed the passages with {generation.embedding_model}.",
        )
