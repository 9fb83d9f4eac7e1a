from __future__ import annotations

from pathlib import Path

import pytest

from serve_apps.access import Attempts, Credential, token
from serve_apps.settings import settings


def test_the_token_is_made_once_for_the_owner_alone(raydio_home: Path) -> None:
    first = token()
    assert token() == first
    assert len(first) >= 40
    assert (raydio_home / "token").stat().st_mode & 0o777 == 0o600


def test_the_environment_sets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDIO_TOKEN", "from-a-secret")
    settings.cache_clear()
    assert token() == "from-a-secret"
    assert "from-a-secret" not in repr(settings())


def test_the_cookie_does_not_reveal_the_token() -> None:
    credential = Credential("secret")
    assert credential.is_token("secret")
    assert not credential.is_token("Secret")
    assert credential.is_cookie(credential.cookie_value)
    assert not credential.is_token(credential.cookie_value)
    assert not Credential("other").is_cookie(credential.cookie_value)


def test_guessing_is_slowed_down() -> None:
    attempts = Attempts(limit=3, window_s=60)
    assert [attempts.failed() for _ in range(4)] == [0, 0, 0, 60]
