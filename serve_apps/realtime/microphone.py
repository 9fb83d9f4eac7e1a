"""What the client sends of its microphone: decoded, kept, and followed by the turn detection."""

from __future__ import annotations

from serve_apps.errors import AudioTooLong, InputError
from serve_apps.realtime import config
from serve_apps.realtime.formats import Decoder
from serve_apps.realtime.host import Host
from serve_apps.realtime.input_buffer import InputBuffer
from serve_apps.realtime.listening import Listening
from serve_apps.wire import STT_RATE_HZ, Samples

MIN_COMMIT_S = 0.1
MAX_BUFFER_S = 120.0
"""Audio that waits for a commit; what stt takes in one call."""


class Microphone:
    """The input audio buffer of a session, with or without turn detection.

    Args:
        host: the session.
        settings: of its input.
    """

    def __init__(self, host: Host, settings: config.InputAudio) -> None:
        self._host = host
        self._settings = settings
        self._decoder = Decoder(settings.format)
        self._buffer = InputBuffer()
        self._listening = self._new_listening()

    def append(self, data: bytes) -> None:
        """More sound, in the client's format.

        Raises:
            AudioUnreadable: half a sample.
            AudioTooLong: too much waits for a commit.
        """
        samples = self._decoder(data)
        if not len(samples):
            return
        if self._listening is None and self._buffer.end_s - self._buffer.start_s > MAX_BUFFER_S:
            raise AudioTooLong(
                f"More than {MAX_BUFFER_S:.0f} seconds of audio wait for a commit.",
                "Send input_audio_buffer.commit, or input_audio_buffer.clear to drop them.",
            )
        self._buffer.append(samples)
        if self._listening is not None:
            self._listening.hear(samples, self._decoder.behind_s)

    def commit(self) -> Samples | None:
        """The client says that the turn is over; returns its sound, or None where it is detected.

        Raises:
            InputError: there is nothing to commit.
        """
        if self._listening is not None:
            self._listening.commit()
            return None
        self._buffer.append(self._decoder.flush())
        heard = self._buffer.cut(self._buffer.start_s)
        if len(heard) < MIN_COMMIT_S * STT_RATE_HZ:
            raise InputError(
                f"The buffer holds {1000 * len(heard) / STT_RATE_HZ:.0f} ms of audio.",
                f"Append at least {1000 * MIN_COMMIT_S:.0f} ms before you commit.",
            )
        self._buffer.forget_before(self._buffer.end_s)
        return heard

    def clear(self) -> None:
        """Forget what was not committed, and the turn under way."""
        if self._listening is not None:
            self._listening.drop()
        self._buffer.forget_before(self._buffer.end_s)

    def configure(self, settings: config.InputAudio) -> None:
        """Go on with other settings; what the client sent in another way is forgotten."""
        old, self._settings = self._settings, settings
        if settings.format != old.format:
            self._decoder = Decoder(settings.format)
        if settings.turn_detection != old.turn_detection:
            self.clear()
            self._listening = self._new_listening()

    def _new_listening(self) -> Listening | None:
        detection = self._settings.turn_detection
        return None if detection is None else Listening(self._host, detection, self._buffer)
