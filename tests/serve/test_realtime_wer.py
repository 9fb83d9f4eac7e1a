"""What a live session hears, cut into turns as it is said, against the same recording transcribed whole."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from serve_apps import media
from serve_apps.access import token
from serve_apps.args import SttArgs
from serve_apps.clients import SttClient
from serve_apps.realtime.config import G711, AudioFormat, Pcm
from serve_apps.realtime.formats import to_bytes
from serve_apps.samples import resample
from serve_apps.wire import STT_RATE_HZ, Audio, Samples, SttOptions
from tests.dialogue import DIALOGUE, utter, word_errors
from tests.live import applications
from tests.realtime_client import Realtime, realtime
from tests.recordings import TEXTS, recording
from tests.serve.conftest import Deploy
from tests.serve.test_clients import same_home

__all__ = ["same_home"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
MARGIN = 0.02
"""Word errors that a session may make more than the file: two points absolute."""
PIECE_S = 0.1
DETECTION = {"type": "semantic_vad", "eagerness": "auto", "create_response": False}
"""As the page; people who read aloud pause for breath, and their turn is cut there."""
FORMATS: dict[str, tuple[AudioFormat, str]] = {
    "pcm": (Pcm(), "PCM_16"),
    "pcmu": (G711(type="audio/pcmu"), "ULAW"),
    "pcma": (G711(type="audio/pcma"), "ALAW"),
}
"""The protocol's formats, with libsndfile's names: it makes what is sent, our own codecs only hear it."""
HEARD = "conversation.item.input_audio_transcription.completed"


@pytest.fixture(scope="module")
def url(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> str:
    return deploy(applications(tmp_path_factory.mktemp("llm") / "events.log", "home"))


def recordings() -> Iterator[tuple[Samples, str]]:
    """Two people reading, and the dialogue's sentences one after another; with what is said."""
    for name, text in TEXTS.items():
        yield media.read(recording(name), rate_hz=STT_RATE_HZ).samples, text
    pause = np.zeros(STT_RATE_HZ, np.float32)
    pieces = [piece for u in DIALOGUE for piece in (pause, utter(u, STT_RATE_HZ))]
    yield np.concatenate(pieces), " ".join(u.text for u in DIALOGUE)


@pytest.mark.parametrize("format_name", FORMATS)
async def test_a_session_hears_as_well_as_files_are_transcribed(url: str, format_name: str) -> None:
    format_, subtype = FORMATS[format_name]
    known, whole, heard = [], [], []
    for samples, text in recordings():
        sound = sent(samples, format_.rate_hz, subtype)
        file = received(sound, format_.rate_hz, subtype)
        file = resample(file, format_.rate_hz, STT_RATE_HZ)
        known.append(text)
        whole.append(await transcribed(file))
        audio = {"input": {"format": format_.model_dump(), "turn_detection": DETECTION}}
        async with realtime(url, token(), audio=audio, raydio={"partial_transcripts": False}) as client:
            heard.append(await hear_out(client, sound, format_))
    by_file, by_session = (word_errors(" ".join(texts), " ".join(known)) for texts in (whole, heard))
    assert by_session <= by_file + MARGIN, heard


async def transcribed(samples: Samples) -> str:
    """The whole recording in one call."""
    return (await SttClient().transcribe(Audio(samples=samples, rate_hz=STT_RATE_HZ), SttOptions())).text


@pytest.mark.usefixtures("url")
async def test_stt_takes_as_much_as_it_says_in_one_call() -> None:
    longest = np.zeros(round(SttArgs().max_audio_s) * 48_000, np.float32)
    assert not (await SttClient().transcribe(Audio(samples=longest, rate_hz=48_000), SttOptions())).text


def sent(samples: Samples, rate_hz: int, subtype: str) -> bytes:
    """A recording in a format of the protocol."""
    file = io.BytesIO()
    samples = resample(samples, STT_RATE_HZ, rate_hz)
    soundfile.write(file, samples, rate_hz, format="RAW", subtype=subtype)
    return file.getvalue()


def received(sound: bytes, rate_hz: int, subtype: str) -> Samples:
    """What is left of it."""
    how = {"format": "RAW", "subtype": subtype, "samplerate": rate_hz, "channels": 1}
    samples: Samples = soundfile.read(io.BytesIO(sound), dtype="float32", **how)[0]
    return samples


async def hear_out(client: Realtime, sound: bytes, format_: AudioFormat) -> str:
    """Send it all, faster than real time, with silence at its end, until every turn is understood."""
    quiet = to_bytes(np.zeros(4 * STT_RATE_HZ, np.float32), format_)
    second = len(quiet) // 4
    whole, step = sound + quiet, round(PIECE_S * second)
    for start in range(0, len(whole), step):
        await client.append(whole[start : start + step])
    # The last turn ends within the silence; the server answers in order, so that this comes after it.
    await client.send("input_audio_buffer.clear")
    await client.expect("input_audio_buffer.cleared", timeout_s=60)
    turns = [event["item_id"] for event in client.all("input_audio_buffer.committed")]
    while len(client.all(HEARD)) < len(turns):
        await client.expect(HEARD)
    texts = {event["item_id"]: event["transcript"] for event in client.all(HEARD)}
    return " ".join(texts[turn] for turn in turns)
