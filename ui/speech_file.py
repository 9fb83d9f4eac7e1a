"""A sound file that is written while the speech is made, chunk by chunk, whatever its length."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
import soxr
from gradio.utils import get_upload_folder

from serve_apps.errors import UnknownName
from serve_apps.media import FORMATS, codec_rate_hz
from serve_apps.samples import to_int16
from serve_apps.wire import Audio, Samples

CHOICES = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}
"""What people call a format, and its name in `serve_apps.media.FORMATS`."""


class SpeechFile:
    """A context manager around one new file; blocking, for a worker thread.

    The file is complete after the `with` block. If that fails or is cancelled, the file is gone.

    Args:
        format: a value of `CHOICES`.

    Raises:
        UnknownName: no such format.
    """

    def __init__(self, format: str) -> None:  # noqa: A002 (the word everybody uses for it)
        if format not in CHOICES.values():
            raise UnknownName(
                f"There is no audio format {format[:20]!r}.", f"Use one of {', '.join(CHOICES.values())}."
            )
        self._format = format
        # Where Gradio serves files from: a file elsewhere is copied there, which takes long for a long one.
        folder = Path(get_upload_folder())
        folder.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="speech-", dir=folder)) / f"speech.{format}"
        self._writer: soundfile.SoundFile | None = None
        self._resampler: soxr.ResampleStream | None = None
        self._lock = threading.Lock()
        """A thread still writes when its caller is cancelled: closing would free what it writes to."""
        self.duration_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._writer is None:
            self.discard()
            return
        if self._resampler is not None:
            self._writer.write(to_int16(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)))
        self._writer.close()

    def discard(self) -> None:
        """Remove the file, whatever is in it."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            shutil.rmtree(self.path.parent, ignore_errors=True)

    def write(self, chunks: list[Audio]) -> None:
        """Append chunks, all at the same rate."""
        with self._lock:
            for chunk in chunks:
                writer = self._writer or self._open(chunk.rate_hz)
                samples: Samples = chunk.samples
                if self._resampler is not None:
                    samples = self._resampler.resample_chunk(samples)
                writer.write(to_int16(samples))
                self.duration_s += chunk.duration_s

    def _open(self, rate_hz: int) -> soundfile.SoundFile:
        container, codec = FORMATS[self._format]
        file_hz = codec_rate_hz(self._format, rate_hz)
        if file_hz != rate_hz:
            self._resampler = soxr.ResampleStream(rate_hz, file_hz, 1, dtype="float32")
        self._writer = soundfile.SoundFile(self.path, "w", file_hz, 1, format=container, subtype=codec)
        return self._writer
