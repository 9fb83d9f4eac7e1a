"""The environment, read in one place: addresses, secrets, folders. What runs is in the Serve config."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ASSETS = Path(__file__).resolve().parent.parent / "assets"
"""Theme, prompts, samples and the list of models, installed beside the packages."""


class Settings(BaseSettings):
    """`RAYDIO_*` variables, and the conventional names where there is one."""

    model_config = SettingsConfigDict(env_prefix="RAYDIO_", extra="ignore")

    home: Path = Path("~/.local/share/raydio")
    """State of this installation: access token, run files, logs."""
    cache: Path = Path("~/.cache/raydio")
    """Fetched and converted weights; safe to delete."""
    token: SecretStr | None = None
    """Access token for every door; unset: one is generated into `home` (mode 0600)."""
    allowed_origins: tuple[str, ...] = ()
    """Other origins whose pages may call the API from a browser (CORS)."""
    public_url: str = ""
    """Scheme and host users see, when a proxy in front changes them."""
    user_header: str = ""
    """Header in which an authenticating proxy in front names the user; it must strip the clients' own. Unset:
    everybody with the token is one user."""
    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    """PostgreSQL for conversations and the catalogue of documents; unset: SQLite in `home`."""
    milvus_uri: str = Field(default="", validation_alias="MILVUS_URI")
    """A Milvus server for the vectors, `https://host:19530`; unset: Milvus Lite in `home`."""
    milvus_token: SecretStr | None = Field(default=None, validation_alias="MILVUS_TOKEN")
    """`user:password` or API key of that server."""
    milvus_ca_file: str = Field(default="", validation_alias="MILVUS_CA_FILE")
    """Certificate that its TLS is checked against, where the system does not know it."""
    max_upload_mb: int = Field(default=200, ge=1)
    """Largest upload a page accepts, in MiB."""

    @property
    def home_dir(self) -> Path:
        """`home` with `~` expanded."""
        return self.home.expanduser()

    @property
    def cache_dir(self) -> Path:
        """`cache` with `~` expanded."""
        return self.cache.expanduser()


@cache
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
