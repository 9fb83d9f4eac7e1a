"""Collections, documents, their pages and passages."""

from __future__ import annotations

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make the tables."""
