"""A speaker that only counts: what it would have played, and where it would have run dry."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Speaker:
    """Sound that arrives and is played from its first piece on, at the rate at which it was made.

    Times are seconds on any one clock.
    """

    began_at: float | None = None
    """The first piece came."""
    received_s: float = 0.0
    """Length of all that came and was not dropped."""
    late_s: list[float] = field(default_factory=list)
    """Each silence inside the answer: how long the piece after it came too late."""
    stopped_at: float | None = None
    _dry_at: float = 0.0

    def add(self, at: float, duration_s: float) -> None:
        """A piece came."""
        if self.stopped_at is not None or duration_s <= 0:
            return
        if self.began_at is None:
            self.began_at = self._dry_at = at
        elif at > self._dry_at:
            self.late_s.append(at - self._dry_at)
            self._dry_at = at
        self._dry_at += duration_s
        self.received_s += duration_s

    def played_s(self, now: float) -> float:
        """How much has been heard."""
        if self.began_at is None:
            return 0.0
        return self.received_s - max(0.0, self._dry_at - now)

    def left_s(self, now: float) -> float:
        """How much there is to play."""
        return max(0.0, self._dry_at - now)

    def playing(self, now: float) -> bool:
        """Whether it makes a sound."""
        return self.began_at is not None and self.left_s(now) > 0

    def stop(self, at: float) -> None:
        """Drop what was not played."""
        if self.stopped_at is None:
            self.received_s = self.played_s(at)
            self.stopped_at = self._dry_at = at
