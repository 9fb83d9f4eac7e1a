"""Vectors in Milvus: Milvus Lite in the home folder, or a server by `MILVUS_URI`; the same calls to both.

Filters hold nothing but numbers of documents, which the catalogue looked up: there is nothing to quote.
Source: pymilvus 3.0 (MilvusClient), milvus-lite 3.2.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from pymilvus import DataType, Function, FunctionType, MilvusClient, MilvusException

from serve_apps.args import KnowledgeArgs
from serve_apps.contracts_store import SearchScope
from serve_apps.engines.milvus_lite import EmbeddedMilvus
from serve_apps.errors import StageFailed, StageUnavailable
from serve_apps.settings import settings
from serve_apps.wire import ModelCard, Vectors

OURS = "raydio_"
"""What the names of our collections begin with."""
MAX_TEXT_BYTES = 65_535
"""Of a VARCHAR field: what its word index reads of a passage."""
CALL_TIMEOUT_S = 5.0
"""Within it, pymilvus repeats calls to a server that does not answer."""
SLOW_CALL_TIMEOUT_S = 300.0
"""Of flushing, loading and dropping: work that grows with the collection."""
NOT_LOADED = 101
"""Milvus' number for a collection that it has, but has not loaded."""
RETRY_S = 5.0
"""What callers are told to wait for while a server cannot be reached."""
RECONNECT_MS = 500
"""Longest pause between attempts to reach a server; gRPC's own grow to two minutes."""
MIN_EF = 64
"""Candidates that HNSW keeps: more find more, slower."""

Result = TypeVar("Result")


class MilvusStore:
    """Implements `contracts_store.VectorStore`.

    Args:
        args: `engine_options` are arguments of `MilvusClient`.
        words: keep the passages' words, too, for `bm25`.
    """

    def __init__(self, args: KnowledgeArgs, *, words: bool = True) -> None:
        # What goes wrong is raised, as an error of ours; pymilvus would log it, too, with a traceback.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.is_shared = bool(settings().milvus_uri)
        self._words = words
        self._options = args.engine_options
        self._embedded = None if self.is_shared else EmbeddedMilvus(settings().home_dir / "knowledge")
        self._client: MilvusClient | None = None
        self._connecting = threading.Lock()
        self._loaded: set[str] = set()
        self.card = _card(is_shared=self.is_shared)

    def create(self, name: str, dimensions: int) -> None:
        """See `VectorStore.create`."""
        if name in self._loaded:
            return
        client = self._connected()
        if not self._called(lambda: client.has_collection(name, timeout=CALL_TIMEOUT_S)):
            self._create(client, name, dimensions)
        if not self._called(lambda: client.list_indexes(name, timeout=CALL_TIMEOUT_S)):
            self._describe_indexes(client, name)
        self._load(client, name)

    def drop(self, name: str) -> None:
        """See `VectorStore.drop`."""
        client = self._connected()
        self._loaded.discard(name)
        self._called(lambda: client.drop_collection(name, timeout=SLOW_CALL_TIMEOUT_S))

    def names(self) -> set[str]:
        """See `VectorStore.names`."""
        client = self._connected()
        found = self._called(lambda: client.list_collections(timeout=CALL_TIMEOUT_S))
        return {name for name in found if name.startswith(OURS)}

    def insert(
        self, name: str, keys: Sequence[int], documents: Sequence[int], texts: Sequence[str], vectors: Vectors
    ) -> None:
        """See `VectorStore.insert`."""
        rows: list[dict[str, Any]] = [
            {"key": key, "document": document, "vector": vector}
            for key, document, vector in zip(keys, documents, vectors, strict=True)
        ]
        if self._words:
            for row, text in zip(rows, texts, strict=True):
                row["text"] = text.encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
        self._on(name, lambda client: client.upsert(name, rows, timeout=SLOW_CALL_TIMEOUT_S), is_slow=True)

    def flush(self, name: str) -> None:
        """See `VectorStore.flush`. A server does it in its own time, and limits who asks for more."""
        if not self.is_shared:
            self._on(name, lambda client: client.flush(name, timeout=SLOW_CALL_TIMEOUT_S))

    def delete(self, name: str, documents: Sequence[int]) -> None:
        """See `VectorStore.delete`."""
        which = _filter(SearchScope(documents=tuple(documents)))
        self._on(
            name,
            lambda client: client.delete(name, filter=which, timeout=SLOW_CALL_TIMEOUT_S),
            is_slow=True,
        )

    def count(self, name: str, scope: SearchScope) -> int:
        """See `VectorStore.count`."""
        client = self._connected()
        if not self._called(lambda: client.has_collection(name, timeout=CALL_TIMEOUT_S)):
            return 0
        counted = self._on(
            name,
            lambda client: client.query(
                name, filter=_filter(scope), output_fields=["count(*)"], timeout=SLOW_CALL_TIMEOUT_S
            ),
        )
        return int(counted[0]["count(*)"])

    def dense(self, name: str, vector: Vectors, limit: int, scope: SearchScope) -> list[tuple[int, float]]:
        """See `VectorStore.dense`."""
        parameters = {"metric_type": "COSINE", "params": {"ef": max(MIN_EF, limit)}}
        return self._search(name, vector, limit, scope, anns_field="vector", search_params=parameters)

    def bm25(self, name: str, query: str, limit: int, scope: SearchScope) -> list[tuple[int, float]]:
        """See `VectorStore.bm25`."""
        parameters = {"metric_type": "BM25"}
        found = self._search(name, query, limit, scope, anns_field="words", search_params=parameters)
        # Milvus Lite gives distances, the nearest first and negative; a server gives scores.
        return [(key, abs(score)) for key, score in found]

    def close(self) -> None:
        """See `VectorStore.close`."""
        if self._client is not None:
            self._client.close()
        if self._embedded is not None:
            self._embedded.close()

    def _search(
        self, name: str, what: object, limit: int, scope: SearchScope, **how: Any
    ) -> list[tuple[int, float]]:
        which = _filter(scope)
        found = self._on(
            name,
            lambda client: client.search(
                name, data=[what], limit=limit, filter=which, timeout=CALL_TIMEOUT_S, **how
            ),
        )
        return [(hit["key"], float(hit["distance"])) for hit in found[0]]

    def _on(self, name: str, call: Callable[[MilvusClient], Result], *, is_slow: bool = False) -> Result:
        """Call with a collection that is loaded; once more when the server forgot that it was."""
        client = self._connected()
        self._load(client, name)
        try:
            if is_slow and self.is_shared:  # ask first: a slow call would be repeated for minutes
                client.get_server_version(timeout=CALL_TIMEOUT_S)
            return call(client)
        except MilvusException as error:
            if not _is_unloaded(error):
                raise _translated(error) from error
        except grpc.RpcError as error:
            raise _translated(error) from error
        self._loaded.discard(name)
        self._load(client, name)
        return self._called(lambda: call(client))

    def _load(self, client: MilvusClient, name: str) -> None:
        if name not in self._loaded:
            self._called(lambda: client.load_collection(name, timeout=SLOW_CALL_TIMEOUT_S))
            self._loaded.add(name)

    def _called(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except (MilvusException, grpc.RpcError) as error:
            raise _translated(error) from error

    def _connected(self) -> MilvusClient:
        with self._connecting:
            if self._client is None:
                self._client = self._called(self._connect)
            return self._client

    def _connect(self) -> MilvusClient:
        if self._embedded is not None:
            return MilvusClient(self._embedded.uri, timeout=CALL_TIMEOUT_S, dedicated=True, **self._options)
        given: dict[str, Any] = {
            "uri": settings().milvus_uri,
            "dedicated": True,
            "grpc_options": {
                "grpc.max_reconnect_backoff_ms": RECONNECT_MS,
                # Without it, the fresh channel of a reconnect would wait where the old one was waiting.
                "grpc.use_local_subchannel_pool": 1,
            },
        }
        if (token := settings().milvus_token) is not None:
            given["token"] = token.get_secret_value()
        if settings().milvus_ca_file:
            given["server_pem_path"] = settings().milvus_ca_file
        return MilvusClient(**{**given, "timeout": CALL_TIMEOUT_S, **self._options})

    def _create(self, client: MilvusClient, name: str, dimensions: int) -> None:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("document", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
        if self._words:
            _add_words(schema)
        # Strong: a search sees every insert and delete that ended before it began.
        self._called(
            lambda: client.create_collection(
                name, schema=schema, consistency_level="Strong", timeout=SLOW_CALL_TIMEOUT_S
            )
        )

    def _describe_indexes(self, client: MilvusClient, name: str) -> None:
        """Say which indexes there are to be; whoever made the collection may have died before."""
        index = MilvusClient.prepare_index_params()
        index.add_index(
            "vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 128}
        )
        if self._words:
            index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        # The client would look half a second later whether they are built; nothing is there to build.
        self._called(lambda: client.create_index(name, index, timeout=SLOW_CALL_TIMEOUT_S, sync=False))


def _add_words(schema: Any) -> None:
    schema.add_field("text", DataType.VARCHAR, max_length=MAX_TEXT_BYTES, enable_analyzer=True)
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["text"],
            output_field_names=["words"],
        )
    )


def _filter(scope: SearchScope) -> str:
    """A condition on numbers; `int()` is here for the reader, a type could not be trusted more."""
    if scope.documents is not None:
        return f"document in [{_numbers(scope.documents)}]"
    return f"document not in [{_numbers(scope.without)}]" if scope.without else ""


def _numbers(keys: Sequence[int]) -> str:
    return ",".join(str(int(key)) for key in keys)


def _is_unloaded(error: MilvusException) -> bool:
    return error.code == NOT_LOADED or "not loaded" in str(error.message).lower()


def _translated(error: Exception) -> StageUnavailable | StageFailed:
    """What a failure of Milvus means to a caller."""
    said = str(getattr(error, "message", error)).lower()
    if isinstance(error, grpc.RpcError) or "unavailable" in said or "connect" in said or "deadline" in said:
        return StageUnavailable(
            "knowledge",
            "The vector store does not answer.",
            "Look whether Milvus runs at MILVUS_URI and lets MILVUS_TOKEN in; what was stored is safe.",
            RETRY_S,
        )
    return StageFailed("knowledge", f"The vector store failed: {error}.", "The replica's log has more.")


def _card(*, is_shared: bool) -> ModelCard:
    return ModelCard(
        stage="knowledge",
        engine="milvus",
        model="Milvus" if is_shared else "Milvus Lite",
        size_bytes=0,
        licence="Apache-2.0",
        source="https://milvus.io",
        details={"vectors": "HNSW, cosine"},
    )
