from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from serve_apps import media
from serve_apps.errors import AudioUnreadable, EmptyInput, UnknownName
from serve_apps.samples import from_int16, resample, to_int16
from serve_apps.settings import ASSETS
from serve_apps.wire import Audio, Samples

SAMPLE = ASSETS / "samples" / "announcement.ogg"


def tone(duration_s: float, rate_hz: int = 22_050, hz: float = 440.0) -> Audio:
    times_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    return Audio(samples=(0.3 * np.sin(2 * np.pi * hz * times_s)).astype(np.float32), rate_hz=rate_hz)


def video(path: Path, *, sound: Samples | None = None) -> Path:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=10)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=16_000) if sound is not None else None
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for _ in range(10):
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        if track is not None and sound is not None:
            samples = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            samples.sample_rate = 16_000
            container.mux(track.encode(samples))
            container.mux(track.encode())
    return path


def main_hz(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio.samples))
    return float(spectrum.argmax() * audio.rate_hz / len(audio.samples))


@pytest.mark.parametrize("name", sorted(media.FORMATS.keys() - {"pcm"}))
@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000, 48_000])
def test_encoded_sound_reads_back(name: str, rate_hz: int) -> None:
    file = io.BytesIO(media.encode(tone(2.0, rate_hz), name))
    back = media.read(file)
    assert back.rate_hz == 16_000
    assert back.duration_s == pytest.approx(2.0, abs=0.1)
    assert main_hz(back) == pytest.approx(440, abs=2)
    assert media.probe(file).duration_s == pytest.approx(2.0, abs=0.1)


def test_pcm_is_bare_little_endian_integers() -> None:
    audio = Audio(samples=np.array([0, 1, -1, 2, np.nan], np.float32), rate_hz=8_000)
    assert media.encode(audio, "pcm") == np.array([0, 32767, -32767, 32767, 0], "<i2").tobytes()


@pytest.mark.parametrize("name", sorted(media.FORMATS))
def test_nothing_encodes_to_a_file_without_sound(name: str) -> None:
    assert isinstance(media.encode(Audio(samples=np.zeros(0, np.float32), rate_hz=22_050), name), bytes)


def test_a_long_vorbis_file_can_be_written() -> None:
    file = io.BytesIO(media.encode(tone(300.0, 16_000), "ogg"))
    assert media.probe(file).duration_s == pytest.approx(300, abs=0.1)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="wav, flac"):
        media.encode(tone(0.1), "wma")


def test_integers_and_floats_are_each_others_inverse() -> None:
    integers = np.array([-32768, -1, 0, 1, 32767], np.int16)
    floats = from_int16(integers)
    assert floats.dtype == np.float32
    assert np.abs(to_int16(floats).astype(int) - integers).max() <= 1


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44_100, 16_000), (8_000, 16_000), (16_000, 16_000)])
def test_resampling_keeps_length_and_pitch(from_hz: int, to_hz: int) -> None:
    samples = resample(tone(1.0, from_hz).samples, from_hz, to_hz)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(to_hz, abs=2)
    assert main_hz(Audio(samples=samples, rate_hz=to_hz)) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(
    ("rate_hz", "n_channels", "subtype"),
    [(44_100, 2, "PCM_16"), (8_000, 1, "PCM_U8"), (96_000, 2, "PCM_24"), (48_000, 6, "FLOAT")],
    ids=["stereo", "8-bit", "96 kHz", "5.1"],
)
def test_every_shape_of_wav_becomes_mono_16_khz(
    tmp_path: Path, rate_hz: int, n_channels: int, subtype: str
) -> None:
    one = tone(1.0, rate_hz).samples
    soundfile.write(tmp_path / "a.wav", np.stack([one] * n_channels, axis=1), rate_hz, subtype=subtype)
    audio = media.read(tmp_path / "a.wav")
    assert audio.duration_s == pytest.approx(1.0, abs=0.01)
    assert main_hz(audio) == pytest.approx(440, abs=2)
    assert np.abs(audio.samples).max() <= 1.3
    facts = media.probe(tmp_path / "a.wav")
    assert (facts.rate_hz, facts.n_channels) == (rate_hz, n_channels)


def test_not_a_number_becomes_silence(tmp_path: Path) -> None:
    broken = np.array([np.nan, np.inf, -np.inf, 0.5] * 4_000, np.float32)
    soundfile.write(tmp_path / "nan.wav", broken, 16_000, subtype="FLOAT")
    assert np.isfinite(media.read(tmp_path / "nan.wav").samples).all()


def test_the_sound_of_a_video(tmp_path: Path) -> None:
    audio = media.read(video(tmp_path / "a.mp4", sound=tone(1.0, 16_000).samples))
    assert main_hz(audio) == pytest.approx(440, abs=2)


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    path = video(tmp_path / "mute.mp4")
    with pytest.raises(AudioUnreadable, match="no sound track"):
        media.read(path)
    with pytest.raises(AudioUnreadable, match="no sound track"):
        media.probe(path)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(EmptyInput, match="no bytes"):
        media.read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary, nothing was said today. " * 200,
        bytes(5_000),
        np.random.default_rng(0).bytes(50_000),
        b"#EXTM3U\n#EXTINF:10,\nhttp://198.51.100.1/secret.ts\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"RIFF\x24\x00\x00\x00WAVE",
    ],
    ids=["text", "zeros", "noise", "playlist with an address", "playlist with a file", "a header alone"],
)
def test_what_is_not_sound_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "renamed.mp3"
    path.write_bytes(content)
    with pytest.raises(AudioUnreadable):
        media.read(path)


@pytest.mark.parametrize("name", ["wav", "mp3", "flac", "ogg"])
def test_a_truncated_file_gives_what_is_there(name: str) -> None:
    sound = media.read(SAMPLE)
    whole = media.encode(sound, name)
    part = media.read(io.BytesIO(whole[: len(whole) // 2]))
    assert sound.duration_s * 0.3 < part.duration_s < sound.duration_s * 0.7


def test_a_scratched_file_gives_what_is_around(tmp_path: Path) -> None:
    content = bytearray(media.encode(tone(10.0), "mp3"))
    content[4_000:4_500] = np.random.default_rng(1).bytes(500)
    path = tmp_path / "scratched.mp3"
    path.write_bytes(content)
    assert media.read(path).duration_s > 9.0


def test_a_video_cut_before_its_index_is_unreadable(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", sound=tone(1.0, 16_000).samples)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov")])
    with pytest.raises(AudioUnreadable):
        media.read(path)


def test_the_length_of_a_recording_without_one_in_its_header(tmp_path: Path) -> None:
    path = tmp_path / "browser.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        track = container.add_stream("libopus", rate=48_000)
        frame = av.AudioFrame.from_ndarray(tone(3.0, 48_000).samples[None], format="flt", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*track.encode(frame), *track.encode()]:
            container.mux(packet)
    assert media.probe(path).duration_s == pytest.approx(3.0, abs=0.1)


def test_blocks_are_the_file_cut_in_pauses() -> None:
    loud, quiet = tone(7.0, 16_000).samples, np.zeros(16_000, np.float32)
    file = io.BytesIO(media.encode(Audio(samples=np.concatenate([loud, quiet] * 4), rate_hz=16_000), "wav"))
    blocks = list(media.read_blocks(file, block_s=10.0))
    assert sum(b.duration_s for b in blocks) == pytest.approx(32.0)
    assert all(b.duration_s <= 10.0 for b in blocks)
    assert [b.duration_s for b in blocks][:3] == pytest.approx([7.05, 8.0, 8.0], abs=0.06)


def test_the_quietest_point_of_a_sound_that_is_shorter_than_a_frame() -> None:
    assert media.quietest_point(np.ones(10, np.float32), 16_000, 5.0) == 10


def test_three_hours_are_read_at_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    minute = np.zeros(60 * 8_000, np.int16)
    minute[: 2 * 8_000] = to_int16(tone(2.0, 8_000).samples)
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(180):
            file.write(minute)
    script = (
        "import resource, sys; from serve_apps import media\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "blocks = media.read_blocks(sys.argv[1]); next(blocks); before = peak()\n"
        "print(30 + sum(round(b.duration_s) for b in blocks), peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True
    )
    length_s, grown_mb = map(int, done.stdout.split())
    assert length_s == pytest.approx(3 * 3600, abs=300)
    assert grown_mb < 40
