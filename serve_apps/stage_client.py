"""One call or stream to a stage over its Serve handle: deadline, one retry, cancel, error translation.

Foreign errors are translated here and nowhere else.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from typing import Any, ClassVar, cast

from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentHandle

from serve_apps.errors import RaydioError, StageBusy, StageFailed, StageTimeout, StageUnavailable
from serve_apps.wire import StageReport

RETRY_PAUSE_S = 0.2
"""Upper bound of the pause before the one retry of a call whose replica died."""
RESTART_S = 5.0
"""What a caller is told to wait for while a replica comes back."""
_LOST = (RayActorError, DeploymentUnavailableError)
"""The replica died or was unreachable before it answered."""


def translate(stage: str, error: Exception) -> RaydioError:
    """What a foreign error from a call to `stage` means to its caller."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RaydioError):
        return cause
    if isinstance(cause, TimeoutError):
        return StageTimeout(stage, f"The {stage} stage did not answer in time.", "Try again.", RESTART_S)
    if isinstance(cause, BackPressureError):
        return StageBusy(stage, f"The {stage} stage is at its limit.", "Try again in a moment.", 1.0)
    if isinstance(cause, _LOST):
        return StageUnavailable(
            stage,
            f"The {stage} stage was interrupted and is restarting.",
            "Try again in a few seconds.",
            RESTART_S,
        )
    if isinstance(cause, RequestCancelledError):
        return StageFailed(stage, f"The request to the {stage} stage was cancelled.")
    return StageFailed(
        stage, f"The {stage} stage failed: {type(cause).__name__}.", "The replica's log has the details."
    )


class StageClient:
    """Calls one deployment. Handles are made on first use: a stage may start after its callers."""

    stage: ClassVar[str]

    def __init__(self, application: str = "", *, timeout_s: float = 120.0) -> None:
        """Prepare calls to `application` (by default the stage's word).

        Args:
            application: Serve application whose ingress deployment is the stage.
            timeout_s: deadline of a unary call, and of each wait for the next item of a stream.
        """
        self._application = application or self.stage
        self._timeout_s = timeout_s
        self._handle: DeploymentHandle[Any] | None = None
        self._stream_handle: DeploymentHandle[Any] | None = None

    def _handles(self) -> tuple[DeploymentHandle[Any], DeploymentHandle[Any]]:
        """Unary and streaming handle; each `.options()` is costly, so both are kept."""
        if self._handle is None or self._stream_handle is None:
            try:
                self._handle = serve.get_app_handle(self._application)
            except serve.exceptions.RayServeException as error:
                raise StageUnavailable(
                    self.stage,
                    f"The {self.stage} stage is not deployed here.",
                    "See the home page for what runs.",
                    RESTART_S,
                ) from error
            self._stream_handle = self._handle.options(stream=True)
        return self._handle, self._stream_handle

    async def _call(self, method: str, *args: object, **options: object) -> Any:
        """One idempotent call, retried once when its replica died, all within one deadline."""
        deadline = time.monotonic() + self._timeout_s
        try:
            return await self._attempt(method, args, options, deadline)
        except StageUnavailable as error:
            if not isinstance(error.__cause__, _LOST):
                raise
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_S))  # noqa: S311
            return await self._attempt(method, args, options, deadline)

    async def _attempt(
        self, method: str, args: tuple[object, ...], options: dict[str, object], deadline: float
    ) -> Any:
        handle, _ = self._handles()
        response = getattr(handle, method).remote(*args, **options)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            response.cancel()
            raise translate(self.stage, error) from error

    async def _stream(self, method: str, request: object, *more: object) -> AsyncGenerator[Any, None]:
        """Items of a stream, retried once if its replica dies before the first. Closing it cancels."""
        for attempt in (1, 2):
            _, handle = self._handles()
            response = getattr(handle, method).remote(request, *more)
            started = False
            try:
                while True:
                    async with asyncio.timeout(self._timeout_s):
                        item = await anext(response)
                    started = True
                    yield item
            except StopAsyncIteration:
                return
            except Exception as error:
                if started or attempt == 2 or not isinstance(error, _LOST):  # noqa: PLR2004
                    raise translate(self.stage, error) from error
            finally:
                response.cancel()
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_S))  # noqa: S311

    async def describe(self) -> StageReport:
        """See `contracts.Described`."""
        return cast("StageReport", await self._call("describe"))
