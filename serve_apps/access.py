"""The credential of an installation: one token, accepted by every door, on loopback too.

Like Jupyter: it is generated once, printed in the URL of `raydio up`, and exchanged for a cookie by the
first page that is opened with `?token=`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serve_apps.settings import settings

COOKIE_MAX_AGE_S = 30 * 24 * 3600
OWNER = "owner"
"""The user that everybody with the token is, where no proxy names others."""
USER = "raydio.user"
"""Where a request's ASGI scope holds its user, put there by the door."""
MAX_USER_CHARACTERS = 200


def token() -> str:
    """The access token: `RAYDIO_TOKEN`, or the one in the home folder, generated on first use (mode 0600)."""
    configured = settings().token
    return configured.get_secret_value() if configured else _stored(settings().home_dir / "token")


def _stored(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
    return path.read_text()


def user_of(scope: Mapping[str, Any]) -> str:
    """The user of a request or WebSocket, from its ASGI scope."""
    found: str = scope.get(USER, OWNER)
    return found


class Credential:
    """Checks what callers present against one token, in constant time."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self.cookie_name = f"raydio_{hashlib.sha256(self._secret).hexdigest()[:8]}"
        """Cookies are shared by all ports of a host: the name tells installations apart."""
        self.cookie_value = hmac.new(self._secret, b"raydio browser session", hashlib.sha256).hexdigest()

    def is_token(self, presented: str) -> bool:
        """Whether `presented` is the token."""
        return hmac.compare_digest(presented.encode(), self._secret)

    def is_cookie(self, presented: str) -> bool:
        """Whether `presented` is the cookie that the token was exchanged for."""
        return hmac.compare_digest(presented.encode(), self.cookie_value.encode())


class Attempts:
    """Slows guessing down: wrong credentials beyond `limit` in a window are answered with 429.

    A right credential always passes, so guessing cannot lock anybody out.
    """

    def __init__(self, limit: int = 30, window_s: float = 60.0) -> None:
        self._limit = limit
        self._window_s = window_s
        self._failures: deque[float] = deque()

    def failed(self) -> float:
        """Record a wrong credential; return the seconds to wait, 0 while under the limit."""
        now = time.monotonic()
        while self._failures and now - self._failures[0] > self._window_s:
            self._failures.popleft()
        self._failures.append(now)
        if len(self._failures) <= self._limit:
            return 0.0
        self._failures.popleft()
        return self._window_s
