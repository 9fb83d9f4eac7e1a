"""Sound on the wire: G.711 against its standard and FFmpeg, rates, seams, bad input."""

from __future__ import annotations

from itertools import pairwise

import av
import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from serve_apps.errors import AudioUnreadable
from serve_apps.realtime.config import G711, AudioFormat, Pcm
from serve_apps.realtime.formats import Decoder, Encoder, _codes, _levels, duration_ms, from_bytes, to_bytes
from serve_apps.samples import StreamResampler, from_int16, to_int16
from serve_apps.wire import Audio, Samples

MU, A = G711(type="audio/pcmu"), G711(type="audio/pcma")
LAWS = ["audio/pcmu", "audio/pcma"]
FFMPEG = {"audio/pcmu": "pcm_mulaw", "audio/pcma": "pcm_alaw"}
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)
PAIRS_HZ = [(24_000, 16_000), (8_000, 16_000), (22_050, 24_000), (16_000, 8_000), (44_100, 24_000)]


def tone(hz: float, duration_s: float, rate_hz: int, level: float = 0.5) -> Samples:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def level_db(samples: Samples) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples))) / np.sqrt(0.125) + 1e-9))


def without_tone_db(samples: Samples, hz: float) -> float:
    """What is left of a sound at 16 kHz when its tone, whatever its phase, is taken out."""
    phase = 2 * np.pi * hz * np.arange(len(samples)) / 16_000
    waves = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    fit, *_ = np.linalg.lstsq(waves, samples.astype(np.float64), rcond=None)
    assert np.hypot(*fit) == pytest.approx(0.5, rel=0.02)
    return level_db((samples - waves @ fit).astype(np.float32))


def in_pieces(stream: StreamResampler, samples: Samples, n: int) -> list[Samples]:
    return [stream(samples[i : i + n]) for i in range(0, len(samples), n)]


def spoken(encoder: Encoder, *pieces: Audio) -> NDArray[np.int16]:
    return np.frombuffer(b"".join([*map(encoder, pieces), encoder.flush()]), "<i2")


# ---- G.711


@pytest.mark.parametrize(
    ("law", "sample", "code"),
    [
        ("audio/pcmu", 0, 0xFF), ("audio/pcmu", 32_635, 0x80), ("audio/pcmu", 32_767, 0x80),
        ("audio/pcmu", -32_768, 0x00), ("audio/pcmu", -1, 0x7F), ("audio/pcmu", 1_000, 0xCE),
        ("audio/pcma", 0, 0xD5), ("audio/pcma", 32_767, 0xAA), ("audio/pcma", -32_768, 0x2A),
        ("audio/pcma", -1, 0x55), ("audio/pcma", 1_000, 0xFA),
    ],
)  # fmt: skip
def test_codes_of_the_standard(law: str, sample: int, code: int) -> None:
    assert _codes(law)[np.int16(sample).view(np.uint16)] == code


def test_levels_of_the_standard() -> None:
    """Table 2a and 1a give them in 14 and 13 bits."""
    assert [abs(int(_levels("audio/pcmu")[c])) // 4 for c in (0x80, 0x8F, 0x9F, 0xEF, 0xFE, 0xFF)] == [
        8031, 4191, 2079, 33, 2, 0,
    ]  # fmt: skip
    assert [abs(int(_levels("audio/pcma")[c ^ 0x55])) // 8 for c in (0xFF, 0xF0, 0x90, 0x80)] == [
        4032, 2112, 33, 1,
    ]  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
def test_every_level_keeps_its_code(law: str) -> None:
    levels = _levels(law)
    assert len(np.unique(levels)) == (255 if law == "audio/pcmu" else 256)  # µ-law has two zeros
    codes = _codes(law)[levels.view(np.uint16)]
    np.testing.assert_array_equal(levels[codes], levels)


def ffmpeg(name: str, mode: str) -> AudioCodecContext:
    codec = av.CodecContext.create(name, mode)
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 8_000, "mono", "s16"
    return codec


@pytest.mark.parametrize("law", LAWS)
def test_ffmpeg_decodes_the_same(law: str) -> None:
    every = bytes(range(256))
    (frame,) = ffmpeg(FFMPEG[law], "r").decode(av.Packet(every))
    np.testing.assert_array_equal(frame.to_ndarray()[0], _levels(law))


@pytest.mark.parametrize("law", LAWS)
def test_ffmpeg_encodes_as_we_do_but_at_the_edges_of_a_step(law: str) -> None:
    frame = av.AudioFrame.from_ndarray(EVERY_SAMPLE[None], format="s16", layout="mono")
    frame.sample_rate = 8_000
    codec = ffmpeg(FFMPEG[law], "w")
    theirs = np.frombuffer(b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode(None)]), np.uint8)
    ours = _codes(law)[EVERY_SAMPLE.view(np.uint16)]
    differ = ours != theirs
    assert differ.mean() < 0.02
    error, their_error = (
        np.abs(_levels(law)[codes].astype(int) - EVERY_SAMPLE)[differ] for codes in (ours, theirs)
    )
    assert np.abs(error - their_error).max(initial=0) <= 512  # half of the largest step


@pytest.mark.parametrize(("law", "level", "snr_db"), [(w, v, 35) for w in LAWS for v in (0.9, 0.3, 0.05)])
def test_the_round_trip_is_as_clean_as_the_standard_asks(law: str, level: float, snr_db: float) -> None:
    samples = tone(1004, 1.0, 8_000, level)
    levels = _levels(law)[_codes(law)[to_int16(samples).view(np.uint16)]]
    noise = from_int16(levels) - samples
    assert 10 * np.log10(np.square(samples).mean() / np.square(noise).mean()) > snr_db


# ---- rates


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS_HZ)
@pytest.mark.parametrize("n", [1, 7, 480, 5_000])
def test_a_stream_in_pieces_equals_the_whole(from_hz: int, to_hz: int, n: int) -> None:
    samples = np.random.default_rng(1).standard_normal(from_hz // 4).astype(np.float32)
    stream, whole = StreamResampler(from_hz, to_hz), StreamResampler(from_hz, to_hz)
    pieces = np.concatenate([*in_pieces(stream, samples, n), stream.flush()])
    np.testing.assert_array_equal(pieces, np.concatenate([whole(samples), whole.flush()]))
    assert pieces.dtype == np.float32
    assert len(pieces) == pytest.approx(to_hz // 4, abs=1)


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS_HZ)
def test_little_is_held_back(from_hz: int, to_hz: int) -> None:
    stream, samples = StreamResampler(from_hz, to_hz), np.zeros(from_hz, np.float32)
    ready = in_pieces(stream, samples, from_hz // 50)
    behind_s = [(i + 1) / 50 - n / to_hz for i, n in enumerate(np.cumsum([len(piece) for piece in ready]))]
    assert max(behind_s) < (0.031 if min(from_hz, to_hz) < 16_000 else 0.0155)


def test_after_a_flush_another_stream_begins() -> None:
    stream, samples = StreamResampler(24_000, 16_000), tone(300, 0.1, 24_000)
    first = np.concatenate([stream(samples), stream.flush()])
    np.testing.assert_array_equal(np.concatenate([stream(samples), stream.flush()]), first)
    assert not len(stream.flush())


def test_what_16_khz_cannot_hold_does_not_fold_back() -> None:
    for hz in (8_400, 9_000, 11_000):
        stream = StreamResampler(24_000, 16_000)
        assert level_db(np.concatenate([stream(tone(hz, 1, 24_000)), stream.flush()])[800:-800]) < -80
    for hz in (100, 3_000, 7_600):
        stream = StreamResampler(24_000, 16_000)
        heard = np.concatenate([stream(tone(hz, 1, 24_000)), stream.flush()])[800:-800]
        assert level_db(heard) == pytest.approx(0, abs=0.1)


def test_the_same_rate_passes_at_once() -> None:
    samples = tone(300, 0.1, 16_000)
    stream = StreamResampler(16_000, 16_000)
    assert stream(samples) is samples
    assert not len(stream.flush())


# ---- both ways


@pytest.mark.parametrize("format", [Pcm(), MU, A], ids=lambda f: f.type)
def test_a_sound_survives_the_way_out_and_in(format: AudioFormat) -> None:  # noqa: A002
    samples = tone(440, 1.0, 16_000)
    data = to_bytes(samples, format)
    assert duration_ms(data, format) == pytest.approx(1000, abs=1)
    decoder = Decoder(format)
    back = np.concatenate([*(decoder(data[i : i + 320]) for i in range(0, len(data), 320)), decoder.flush()])
    assert len(back) == pytest.approx(16_000, abs=2)
    assert without_tone_db(back[400:15_600], 440) < (-80 if format.type == "audio/pcm" else -35)


@pytest.mark.parametrize("format", [Pcm(), MU, A], ids=lambda f: f.type)
def test_a_whole_sound_survives_the_way_out_and_in(format: AudioFormat) -> None:  # noqa: A002
    samples = tone(440, 1.0, 16_000)
    back = from_bytes(to_bytes(samples, format), format)
    assert len(back) == 16_000
    noise = back[400:-400] - samples[400:-400]
    assert 20 * np.log10(np.std(samples) / np.std(noise)) > (75 if format.type == "audio/pcm" else 35)


@pytest.mark.parametrize("format", [Pcm(), MU, A], ids=lambda f: f.type)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
def test_speech_of_any_rate_keeps_its_length(format: AudioFormat, rate_hz: int) -> None:  # noqa: A002
    encoder, samples = Encoder(format), tone(300, 1.0, rate_hz)
    pieces = [Audio(samples=samples[i : i + 999], rate_hz=rate_hz) for i in range(0, len(samples), 999)]
    data = b"".join([*map(encoder, pieces), encoder.flush()])
    assert duration_ms(data, format) == pytest.approx(1000, abs=0.5)
    assert encoder.flush() == b""


RATES_HZ = (22_050, 24_000, 16_000, 44_100, 8_000, 22_050)


def test_a_change_of_rate_makes_no_click_and_loses_no_time() -> None:
    hz, step_s = 440.3, 0.05
    times_s = [np.arange(round(step_s * r)) / r + i * step_s for i, r in enumerate(RATES_HZ)]
    parts = [
        Audio(samples=(0.5 * np.cos(2 * np.pi * hz * t)).astype(np.float32), rate_hz=r)
        for t, r in zip(times_s, RATES_HZ, strict=True)
    ]
    heard = spoken(Encoder(Pcm()), *parts) / 32767
    assert len(heard) == pytest.approx(24_000 * step_s * len(RATES_HZ), abs=3)
    steepest = 0.5 * 2 * np.pi * hz / 24_000
    inner = heard[240:-240]
    assert max(abs(b - a) for a, b in pairwise(inner)) < 1.5 * steepest
    envelope = np.abs(inner)[: len(inner) // 60 * 60].reshape(-1, 60).max(axis=1)
    assert envelope.min() > 0.45


def test_the_piece_before_a_change_may_be_tiny() -> None:
    parts = [Audio(samples=np.full(1, 0.1, np.float32), rate_hz=r) for r in RATES_HZ]
    assert len(spoken(Encoder(Pcm()), *parts)) == pytest.approx(6, abs=3)


def test_what_is_no_number_or_too_loud_is_silence_or_the_loudest() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 7.0], np.float32)
    assert spoken(Encoder(Pcm()), Audio(samples=odd, rate_hz=24_000)).tolist() == [0, 32767, -32767, 32767]


def test_nothing_is_nothing() -> None:
    nothing = Audio(samples=np.zeros(0, np.float32), rate_hz=22_050)
    for format in (Pcm(), MU):  # noqa: A001
        assert not len(Decoder(format)(b""))
        assert not len(Decoder(format).flush())
        assert Encoder(format)(nothing) == Encoder(format).flush() == b""
        assert to_bytes(nothing.samples, format) == b""
        assert duration_ms(b"", format) == 0


def test_half_a_sample_is_refused_with_a_way_out_and_the_stream_goes_on() -> None:
    decoder = Decoder(Pcm())
    with pytest.raises(AudioUnreadable, match=r"4,801 bytes.*two\. .*audio/pcmu") as refused:
        decoder(bytes(4801))
    assert refused.value.hint
    with pytest.raises(AudioUnreadable, match="3 bytes"):
        from_bytes(bytes(3), Pcm())
    assert len(decoder(bytes(4800)))
    assert len(Decoder(MU)(bytes(4801)))
