"""Sound in and out of files: any container to blocks of mono float32, and samples to file formats.

A leaf that pages and doors share. Decoding is FFmpeg's (PyAV), incremental and at constant memory;
encoding is libsndfile's.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer

from serve_apps.errors import AudioUnreadable, EmptyInput, UnknownName
from serve_apps.samples import resample, to_int16
from serve_apps.wire import STT_RATE_HZ, Audio, Samples

Source = str | Path | BinaryIO
"""A file on this machine, or its bytes as an open binary file."""

FORMATS: dict[str, tuple[str, str]] = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "pcm": ("RAW", "PCM_16"),
}
"""What `encode` can write: our name to libsndfile's container and codec. `pcm` is bare s16le."""

_CODEC_RATES_HZ = {
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
}
_CUT_SEARCH_S = 5.0
"""Blocks are cut at the quietest point of their last seconds: a pause is very likely within five."""
_CUT_FRAME_S = 0.1
_MAX_BAD_PACKETS = 100
"""In a row. A scratch in a recording is fewer; a file that is not sound is nothing else."""
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,matroska,webm,mov,mp4,mp3,mpeg,mpegts,"
    "ogg,rm,tta,w64,wav,wv"
)
"""Only containers that hold their own sound: a playlist could name other files and addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What a file says about its sound, before decoding it."""

    duration_s: float
    """As its header says, or from the packets' times; 0 when neither knows."""
    rate_hz: int
    n_channels: int
    codec: str


def encode(audio: Audio, format: str) -> bytes:  # noqa: A002 (the word everybody uses for it)
    """The whole of a sound file.

    Args:
        audio: what to write; for codecs that know only some rates, the nearest one above is used.
        format: a name of `FORMATS`.

    Raises:
        UnknownName: no such format.
    """
    if format not in FORMATS:
        raise UnknownName(f"There is no audio format {format!r}.", f"Use one of {', '.join(FORMATS)}.")
    container, codec = FORMATS[format]
    rate_hz = codec_rate_hz(format, audio.rate_hz)
    samples = to_int16(resample(audio.samples, audio.rate_hz, rate_hz))
    if format == "pcm":
        return samples.astype("<i2", copy=False).tobytes()
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", rate_hz, 1, format=container, subtype=codec) as writer:
        # libsndfile's Vorbis encoder keeps a whole write on the stack and overflows it on a long one:
        # https://github.com/libsndfile/libsndfile/issues/1023
        for start in range(0, len(samples), rate_hz):
            writer.write(samples[start : start + rate_hz])
    return file.getvalue()


def codec_rate_hz(format: str, rate_hz: int) -> int:  # noqa: A002
    """The rate at which `format` stores sound of `rate_hz`: itself, or the nearest above that it knows."""
    known = _CODEC_RATES_HZ.get(format, (rate_hz,))
    return min((r for r in known if r >= rate_hz), default=max(known))


def probe(source: Source) -> MediaFacts:
    """Look at a file without decoding it.

    Raises:
        EmptyInput: the file has no bytes.
        AudioUnreadable: not a media file, or one without sound.
    """
    with _opened(source) as (container, stream):
        return MediaFacts(
            duration_s=_duration_s(container, stream),
            rate_hz=stream.rate,
            n_channels=stream.channels,
            codec=stream.codec_context.name,
        )


def read_blocks(source: Source, block_s: float = 30.0, rate_hz: int = STT_RATE_HZ) -> Generator[Audio]:
    """Decode a file of any length, one block in memory at a time.

    Every block but the last is cut at the quietest point of its last seconds, so that no word is
    split. A file that breaks off, or is damaged in places, gives what can be decoded.

    Args:
        source: an audio file, or a video with a sound track (the first one is read).
        block_s: longest block, in seconds.
        rate_hz: rate of the blocks.

    Raises:
        EmptyInput: the file has no bytes.
        AudioUnreadable: not a media file, no sound track, or not one sample could be decoded.
    """
    limit, found = int(block_s * rate_hz), False
    rest = np.zeros(0, np.float32)
    with _opened(source) as (container, stream):
        for stretch in _stretches(_decoded(container, stream, rate_hz), limit):
            found, rest = True, np.concatenate([rest, stretch])
            while len(rest) >= limit:
                cut = quietest_point(rest[:limit], rate_hz, min(_CUT_SEARCH_S, block_s / 2))
                yield Audio(samples=rest[:cut], rate_hz=rate_hz)
                rest = rest[cut:]
    if not found:
        raise AudioUnreadable(
            "No sound could be decoded from this file.",
            "It is damaged, or not the kind of file that its name says; try to play or convert it.",
        )
    if len(rest):
        yield Audio(samples=rest, rate_hz=rate_hz)


def _stretches(pieces: Iterator[Samples], n_samples: int) -> Iterator[Samples]:
    """Join a decoder's small pieces, so that no sample is copied more than twice."""
    held: list[Samples] = []
    n_held = 0
    for piece in pieces:
        held.append(piece)
        n_held += len(piece)
        if n_held >= n_samples:
            yield np.concatenate(held)
            held, n_held = [], 0
    if held:
        yield np.concatenate(held)


def read(source: Source, rate_hz: int = STT_RATE_HZ) -> Audio:
    """Decode a whole (short) file; the same errors as `read_blocks`."""
    blocks = [block.samples for block in read_blocks(source, rate_hz=rate_hz)]
    return Audio(samples=np.concatenate(blocks), rate_hz=rate_hz)


def quietest_point(samples: Samples, rate_hz: int, search_s: float) -> int:
    """The index of the middle of the quietest tenth of a second in the last `search_s` seconds."""
    frame = max(1, int(_CUT_FRAME_S * rate_hz))
    start = max(0, len(samples) - int(search_s * rate_hz))
    n_frames = (len(samples) - start) // frame
    if n_frames == 0:
        return len(samples)
    frames = samples[start : start + n_frames * frame].reshape(n_frames, frame)
    quietest = int(np.square(frames).mean(axis=1).argmin())
    return start + quietest * frame + frame // 2


# ---- FFmpeg ------------------------------------------------------------------------------------


@contextmanager
def _opened(source: Source) -> Iterator[tuple[InputContainer, AudioStream]]:
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file, _opened(file) as opened:
            yield opened
        return
    source.seek(0)
    if not source.read(1):
        raise EmptyInput("This file is empty: it has no bytes.", "Record or upload it again.")
    source.seek(0)
    try:
        container = av.open(source, "r", options={"format_whitelist": _CONTAINERS, "protocol_whitelist": ""})
    except (av.FFmpegError, ValueError) as error:
        raise AudioUnreadable(
            "This is not an audio or video file that can be read here.",
            "Use WAV, MP3, FLAC, OGG, M4A, MP4, WebM or another common format.",
        ) from error
    with container:
        yield container, _sound_track(container)


def _sound_track(container: InputContainer) -> AudioStream:
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.rate:
            return stream
    raise AudioUnreadable("This file has no sound track.", "Choose a recording, or a video with sound.")


def _duration_s(container: InputContainer, stream: AudioStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / av.time_base
    # A browser's own recordings (WebM) are written as a stream and have no length in their header.
    ends = (_end_s(p.pts, p.duration, p.time_base) for p in container.demux(stream))
    return max(ends, default=0.0)


def _end_s(pts: int | None, duration: int | None, time_base: object) -> float:
    return float((pts or 0) + (duration or 0)) * float(time_base or 0)  # type: ignore[arg-type]


def _decoded(container: InputContainer, stream: AudioStream, rate_hz: int) -> Iterator[Samples]:
    resampler, shape = None, None
    for frame in _frames(container, stream):
        if resampler is None or shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            if resampler is not None:
                yield from _mono(resampler, None)
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            resampler = AudioResampler(format="flt", layout="mono", rate=rate_hz)
        yield from _mono(resampler, frame)
    if resampler is not None:
        yield from _mono(resampler, None)


def _mono(resampler: AudioResampler, frame: AudioFrame | None) -> Iterator[Samples]:
    for converted in resampler.resample(frame):
        samples = converted.to_ndarray().reshape(-1).astype(np.float32)
        yield np.nan_to_num(samples, copy=False)


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    n_bad = 0
    packets = container.demux(stream)
    while n_bad < _MAX_BAD_PACKETS:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.FFmpegError:
            n_bad += 1
            continue
        n_bad = 0 if frames else n_bad
        yield from (f for f in frames if isinstance(f, AudioFrame))
