"""A reranking engine without weights: the share of the query's words that a passage has."""

from __future__ import annotations

import re
from collections.abc import Sequence

from serve_apps.args import RerankerArgs
from serve_apps.wire import ModelCard, QueryVector


class SharedWordsReranker:
    """Scores in [0, 1]. `n_passages_of_calls` remembers how the stage cut the work."""

    def __init__(self, args: RerankerArgs) -> None:
        self.card = ModelCard(
            stage="reranker",
            engine=args.engine,
            model="shared words",
            size_bytes=0,
            licence="Apache-2.0",
            source="tests/fake_engines/reranker.py",
        )
        self.n_passages_of_calls: list[int] = []

    def score(
        self,
        query: str,
        passages: Sequence[str],
        vector: QueryVector | None = None,  # noqa: ARG002
    ) -> list[float]:
        self.n_passages_of_calls.append(len(passages))
        wanted = _words(query)
        return [len(wanted & _words(passage)) / max(1, len(wanted)) for passage in passages]

    def close(self) -> None:
        pass


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
