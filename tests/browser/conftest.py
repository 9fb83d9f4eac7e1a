"""The whole product, started once for the tests of this folder that use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import product as running


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Product]:
    """`raydio up --detach` with the default config: real engines on real weights."""
    started = running.start(tmp_path_factory.mktemp("home"))
    yield started
    running.stop(started)
