from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from serve_apps import media
from serve_apps.args import SttArgs
from serve_apps.engines.moonshine import MoonshineStt
from serve_apps.errors import ConfigError, UnsupportedOption
from serve_apps.settings import ASSETS
from serve_apps.wire import Samples, SttOptions


@pytest.fixture(scope="module")
def engine() -> Iterator[MoonshineStt]:
    engine = MoonshineStt(SttArgs())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speech() -> Samples:
    return media.read(ASSETS / "samples" / "announcement.ogg").samples


def heard(engine: MoonshineStt, samples: Samples) -> str:
    return " ".join(segment.text for segment in engine.transcribe(samples, SttOptions())).lower()


def test_it_hears_the_announcement_in_sentences(engine: MoonshineStt, speech: Samples) -> None:
    segments = engine.transcribe(speech, SttOptions())
    assert len(segments) >= 3
    text = " ".join(s.text for s in segments).lower()
    assert "the meeting is on tuesday" in text
    assert "second floor" in text
    times = [t for s in segments for t in (s.start_s, s.end_s)]
    assert times == sorted(times)
    assert all(not s.words for s in segments)


def test_words_have_times_inside_their_segment(engine: MoonshineStt, speech: Samples) -> None:
    for segment in engine.transcribe(speech, SttOptions(words=True)):
        assert [w.text for w in segment.words] == segment.text.split()
        assert segment.start_s == segment.words[0].start_s
        assert segment.end_s == segment.words[-1].end_s


def test_calls_from_many_threads_do_not_mix(engine: MoonshineStt, speech: Samples) -> None:
    parts = [speech[: 4 * 16_000], speech[4 * 16_000 : 8 * 16_000], speech[8 * 16_000 :]]
    expected = [heard(engine, part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: heard(engine, parts[i % 3]), range(12)))
    assert found == expected * 4


@pytest.mark.parametrize("n_samples", [0, 1, 100])
def test_almost_nothing_is_nothing(engine: MoonshineStt, n_samples: int) -> None:
    assert engine.transcribe(np.zeros(n_samples, np.float32), SttOptions(words=True)) == []


def test_the_card_names_the_model(engine: MoonshineStt) -> None:
    assert engine.card.model == "Moonshine tiny (English)"
    assert engine.card.licence == "MIT"
    assert engine.card.size_bytes > 40_000_000


def test_word_times_can_be_switched_off(speech: Samples) -> None:
    engine = MoonshineStt(SttArgs(align_words=False))
    with pytest.raises(UnsupportedOption, match="Word times"):
        engine.transcribe(speech, SttOptions(words=True))
    engine.close()


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no Moonshine model 'moonshine-huge'"):
        MoonshineStt(SttArgs(model="moonshine-huge"))


def test_a_folder_that_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot load"):
        MoonshineStt(SttArgs(model=str(tmp_path)))
