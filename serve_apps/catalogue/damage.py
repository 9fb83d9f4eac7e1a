"""Vectors whose files are damaged: an empty collection takes their place, to be filled from the catalogue."""

from __future__ import annotations

import logging

from serve_apps.contracts_store import VectorStore
from serve_apps.errors import StageFailed

logger = logging.getLogger(__name__)


def opened_or_replaced(store: VectorStore, name: str, dimensions: int) -> None:
    """Open a collection, empty if there is none or if its files were damaged, by a power cut say.

    Raises:
        StageFailed: a server cannot open it; what is there belongs to others, too.
    """
    try:
        store.create(name, dimensions)
    except StageFailed as error:
        if store.is_shared:
            raise
        logger.warning("the vectors in %s cannot be read and are made again: %s", name, error)
        store.drop(name)
        store.create(name, dimensions)
