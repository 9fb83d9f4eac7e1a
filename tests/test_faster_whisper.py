from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serve_apps import media
from serve_apps.args import SttArgs
from serve_apps.engines.faster_whisper import FasterWhisperStt
from serve_apps.errors import ConfigError, StageFailed
from serve_apps.settings import ASSETS
from serve_apps.stt import SttStage
from serve_apps.wire import Audio, Samples, SttOptions
from tests import tiny_whisper


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.write(tmp_path_factory.mktemp("models") / "tiny-whisper")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[FasterWhisperStt]:
    engine = FasterWhisperStt(args(folder))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speech() -> Samples:
    return media.read(ASSETS / "samples" / "announcement.ogg").samples[: 5 * 16_000]


def args(model: Path | str, **options: object) -> SttArgs:
    return SttArgs(engine="faster_whisper", model=str(model), engine_options=tiny_whisper.OPTIONS | options)


def test_it_hears_something_in_the_language_asked_for(engine: FasterWhisperStt, speech: Samples) -> None:
    segments = engine.transcribe(speech, SttOptions(language="de"))
    assert segments
    assert all(s.text and s.language == "de" and 0 <= s.start_s <= s.end_s <= 30 for s in segments)


def test_the_language_is_detected_when_it_is_not_known(engine: FasterWhisperStt, speech: Samples) -> None:
    (first, *_) = engine.transcribe(speech, SttOptions())
    assert first.language in tiny_whisper.LANGUAGES


def test_words_have_times(engine: FasterWhisperStt, speech: Samples) -> None:
    words = [w for s in engine.transcribe(speech, SttOptions(language="en", words=True)) for w in s.words]
    assert words
    assert all(w.start_s <= w.end_s for w in words)


def test_a_prompt_changes_what_is_heard(engine: FasterWhisperStt, speech: Samples) -> None:
    plain = engine.transcribe(speech, SttOptions(language="en"))
    assert engine.transcribe(speech, SttOptions(language="en", prompt="Raydio, Moonshine")) != plain


def test_options_go_to_the_model_and_to_transcribe(folder: Path, speech: Samples) -> None:
    engine = FasterWhisperStt(args(folder, device="cpu", num_workers=1, max_new_tokens=4))
    (segment, *_) = engine.transcribe(speech, SttOptions(language="en"))
    assert len(segment.text.encode()) <= 12
    engine.close()


def test_the_card_says_what_it_can_do(engine: FasterWhisperStt, folder: Path) -> None:
    assert (engine.card.model, engine.card.source) == ("tiny-whisper", str(folder))
    assert engine.card.size_bytes > 100_000
    assert engine.card.details["precision"] == "int8"
    assert {"en", "de", "fr"} <= set(engine.languages)


async def test_the_stage_runs_on_it(folder: Path) -> None:
    stage = SttStage(args(folder), FasterWhisperStt)
    audio = media.read(ASSETS / "samples" / "announcement.ogg")
    heard = await stage.transcribe(audio, SttOptions(words=True))
    assert heard.segments
    assert heard.language in tiny_whisper.LANGUAGES
    silence = Audio(samples=np.zeros(48_000, np.float32), rate_hz=16_000)
    assert (await stage.transcribe(silence, SttOptions())).segments == ()


@pytest.mark.parametrize("model", ["gigantic", "moonshine-tiny-en"])
def test_what_is_not_whisper_cannot_be_loaded(model: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot load '{model}'"):
        FasterWhisperStt(args(model))


def test_unknown_options_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no option beem_size"):
        FasterWhisperStt(args(folder, beem_size=5))


def test_a_failure_of_the_library_is_the_stages(folder: Path, speech: Samples) -> None:
    engine = FasterWhisperStt(args(folder))
    engine.close()
    with pytest.raises(StageFailed, match="faster-whisper failed"):
        engine.transcribe(speech, SttOptions(language="en"))
