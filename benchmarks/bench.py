"""One run of the benchmarks: its options, and the systems that are up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benchmarks import systems
from benchmarks.raw_http import Target
from benchmarks.rules import MAX_FLOOR_DRIFT, Rounds, Sampler, alternate, interleave
from benchmarks.systems import CannotRun, Product

MOCK = systems.CONFIGS / "mock.yaml"
MOCK_VOICE = systems.CONFIGS / "voice.yaml"
"""Like `MOCK`, with engines that can hold a conversation."""
REAL: Path | None = None
"""The config that `raydio up` runs when none is named."""


@dataclass(slots=True)
class Bench:
    """Starts each system when a row first asks for it and keeps it for the next one.

    Systems stay up between rows, idle; only one is under load at a time. Two Raydios never run together.
    """

    n_rounds: int
    quick: bool = False
    engines: tuple[str, ...] = ("mock", "real")
    _stack: ExitStack = field(default_factory=ExitStack)
    _targets: dict[str, Target] = field(default_factory=dict)
    _product_stack: ExitStack = field(default_factory=ExitStack)
    _product: tuple[Path | None, Product] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop_all()

    def samples(self, n_samples: int) -> int:
        """Samples to take where a whole run takes `n_samples`."""
        return max(3, n_samples // 5) if self.quick else n_samples

    def rounds(self, floor: tuple[str, Sampler], others: Mapping[str, Sampler]) -> Rounds:
        """Interleaved rounds; a quick run throws none away."""
        max_drift = math.inf if self.quick else MAX_FLOOR_DRIFT
        return interleave(floor, others, self.n_rounds, max_drift)

    def direct(self) -> Target:
        """The mock engine behind bare uvicorn."""
        if "direct" not in self._targets:
            self._targets["direct"] = self._stack.enter_context(systems.direct())
        return self._targets["direct"]

    def plain_gradio(self) -> Target:
        """Gradio's own chat page around the mock engine."""
        if "gradio" not in self._targets:
            self._targets["gradio"] = self._stack.enter_context(systems.plain_gradio())
        return self._targets["gradio"]

    def gateways(self) -> tuple[dict[str, Target], dict[str, str]]:
        """Peers of the /v1 door that run, and those that do not with the reason."""
        try:
            if "litellm" not in self._targets:
                self._targets["litellm"] = self._stack.enter_context(systems.litellm(self.direct()))
        except CannotRun as error:
            return {}, {"litellm": str(error)}
        return {"litellm": self._targets["litellm"]}, {}

    @contextmanager
    def pipecat(self, silence_ms: int) -> Iterator[str | CannotRun]:
        """The address of the peer of live voice while the block runs, or why there is none."""
        with ExitStack() as stack:
            try:
                running: str | CannotRun = stack.enter_context(systems.pipecat(silence_ms))
            except CannotRun as error:
                running = error
            yield running

    @contextmanager
    def open_webui(self) -> Iterator[Target | CannotRun]:
        """The peer of answers from documents while the block runs, or why there is none."""
        with ExitStack() as stack:
            try:
                engines = stack.enter_context(systems.direct_real())
                running: Target | CannotRun = stack.enter_context(systems.open_webui(engines))
            except CannotRun as error:
                running = error
            yield running

    def alternating(self, samplers: Mapping[str, Sampler]) -> Rounds:
        """Rounds of systems without a floor, or so far apart that its drift cannot matter."""
        return alternate(samplers, self.n_rounds)

    def product(self, config: Path | None) -> Product:
        """Raydio on `config`; another config's is stopped first."""
        if self._product is None or self._product[0] != config:
            self.stop_product()
            self._product = (config, self._product_stack.enter_context(systems.product(config)))
        return self._product[1]

    @contextmanager
    def fresh_product(self, config: Path | None) -> Iterator[Product]:
        """Raydio alone on the machine, started now and stopped after the block."""
        self.stop_all()
        try:
            yield self.product(config)
        finally:
            self.stop_product()

    def stop_product(self) -> None:
        """Stop Raydio, if it runs."""
        self._product = None
        self._product_stack.close()

    def stop_all(self) -> None:
        """Stop everything."""
        self.stop_product()
        self._targets.clear()
        self._stack.close()
