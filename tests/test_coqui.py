"""The coqui engine on tiny random models that this file makes: `make test-coqui` installs what it needs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("TTS", reason="coqui-tts is not installed here: run make test-coqui")
# The library's own warnings (deprecations of torch and pydantic) are not ours to fix.
pytestmark = pytest.mark.filterwarnings("default")

import torch  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from TTS.tts.configs.vits_config import VitsConfig  # noqa: E402
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig  # noqa: E402
from TTS.tts.models.vits import Vits, VitsArgs  # noqa: E402
from TTS.tts.models.xtts import Xtts  # noqa: E402

from serve_apps.args import TtsArgs  # noqa: E402
from serve_apps.engines.coqui import CoquiTts  # noqa: E402
from serve_apps.errors import ConfigError, InputError, NoSpeech, UnknownName, UnsupportedOption  # noqa: E402
from serve_apps.tts import TtsStage  # noqa: E402
from serve_apps.wire import Audio, Samples, SpeakRequest  # noqa: E402

LETTERS = "abcdefghijklmnopqrstuvwxyz.,!? '-"


def save_vits(folder: Path, speakers: list[str]) -> Path:
    """A VITS of random weights, a few megabytes."""
    folder.mkdir()
    arguments = VitsArgs(
        hidden_channels=16, hidden_channels_ffn_text_encoder=16, num_heads_text_encoder=2,
        num_layers_text_encoder=1, kernel_size_text_encoder=3, num_layers_posterior_encoder=2,
        num_layers_flow=1, upsample_initial_channel_decoder=16,
        resblock_kernel_sizes_decoder=[3], resblock_dilation_sizes_decoder=[[1, 3, 5]],
        use_speaker_embedding=bool(speakers), speaker_embedding_channels=8,
        length_scale=4, use_sdp=False,
    )  # fmt: skip
    config = VitsConfig(model_args=arguments, text_cleaner="basic_cleaners", use_phonemes=False)
    config.speakers = speakers
    config.audio.sample_rate = 16_000
    config.audio.do_trim_silence = False  # random weights may be that quiet
    model = Vits(config)
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    return folder


def save_xtts(folder: Path, speakers: list[str]) -> Path:
    """An XTTS of random weights, under a hundred megabytes: its speaker encoder has a fixed size."""
    folder.mkdir()
    specials = ["[STOP]", "[UNK]", "[SPACE]", "[en]", "[de]", "[START]"]
    vocabulary = {token: i for i, token in enumerate([*specials, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.add_special_tokens(specials)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "vocab.json"))
    arguments = XttsArgs(
        gpt_layers=1, gpt_n_model_channels=64, gpt_n_heads=2, gpt_number_text_tokens=len(vocabulary),
        gpt_start_text_token=vocabulary["[START]"], gpt_stop_text_token=0, gpt_max_audio_tokens=60,
        gpt_max_prompt_tokens=70, gpt_num_audio_tokens=1026, gpt_start_audio_token=1024,
        gpt_stop_audio_token=1025, gpt_use_perceiver_resampler=True, decoder_input_dim=64,
        tokenizer_file=str(folder / "vocab.json"),
    )  # fmt: skip
    config = XttsConfig(model_args=arguments, languages=["en", "de"], temperature=0.7)
    model = Xtts(config)
    model.tokenizer.tokenizer = tokenizer
    model.init_models()
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    if speakers:
        voice = {"gpt_cond_latent": torch.randn(1, 32, 64), "speaker_embedding": torch.randn(1, 512, 1)}
        torch.save(dict.fromkeys(speakers, voice), folder / "speakers_xtts.pth")
    return folder


def engine(folder: Path, **args: Any) -> CoquiTts:
    return CoquiTts(TtsArgs(engine="coqui", model=str(folder), **args))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("coqui")
    save_vits(folder / "vits", [])
    save_vits(folder / "vits-speakers", ["anna", "bert"])
    save_xtts(folder / "xtts", ["Clara Bell"])
    save_xtts(folder / "xtts-bare", [])
    return folder


@pytest.fixture(scope="module")
def vits(folders: Path) -> CoquiTts:
    return engine(folders / "vits")


@pytest.fixture(scope="module")
def xtts(folders: Path) -> CoquiTts:
    return engine(folders / "xtts", engine_options={"stream_chunk_size": 4})


def clip(duration_s: float = 3.0, level: float = 0.3) -> Audio:
    times_s = np.arange(round(22_050 * duration_s)) / 22_050
    return Audio(samples=(level * np.sin(2 * np.pi * 180 * times_s)).astype(np.float32), rate_hz=22_050)


def said(by: CoquiTts, text: str, **options: Any) -> list[Samples]:
    pieces = list(by.speak(SpeakRequest(text=text, **options)))
    assert {(piece.rate_hz, piece.words) for piece in pieces} <= {(by.rate_hz, ())}
    return [piece.samples for piece in pieces]


def test_vits_speaks_clause_by_clause(vits: CoquiTts) -> None:
    pieces = said(vits, "Hello there. How are you today? Fine.")
    assert len(pieces) == 6  # three clauses, a pause after each
    assert all(piece.dtype == np.float32 and piece.ndim == 1 for piece in pieces)
    assert all(np.abs(piece).max() > 0 for piece in pieces[::2])
    assert vits.rate_hz == 16_000
    assert not vits.can_clone


def test_vits_lists_and_uses_speakers(folders: Path) -> None:
    by = engine(folders / "vits-speakers")
    assert [voice.name for voice in by.voices()] == ["anna", "bert"]
    for voice in ("", "bert", by.voices()[1].id):
        assert said(by, "Hello.", voice=voice)
    with pytest.raises(UnknownName, match="bert"):
        said(by, "Hello.", voice="berta")


def test_the_speed_changes_the_length(vits: CoquiTts) -> None:
    torch.manual_seed(1)
    text = "A somewhat longer sentence to measure the speed with"
    slow, fast = (sum(map(len, said(vits, text, speed=speed))) for speed in (0.5, 3.0))
    assert slow > 1.5 * fast


def test_xtts_streams_inside_a_sentence(xtts: CoquiTts) -> None:
    pieces = said(xtts, "Hello there, my friend, this is it")
    assert len(pieces) > 3
    assert xtts.rate_hz == 24_000
    assert xtts.can_clone
    assert xtts.card.details["imitates voices"] == "yes"


def test_xtts_lists_every_speaker_in_every_language(xtts: CoquiTts) -> None:
    assert [voice.id for voice in xtts.voices()] == ["en/Clara Bell", "de/Clara Bell"]
    for options in (
        {"voice": "de/Clara Bell"},
        {"voice": "Clara Bell", "language": "de-DE"},
        {"voice": "en"},
    ):
        assert said(xtts, "Hello", **options)
    with pytest.raises(UnknownName, match="en, de"):
        said(xtts, "Hello", language="xx")
    with pytest.raises(UnknownName, match="Clara Bell"):
        said(xtts, "Hello", voice="Clara Ball")


def test_xtts_imitates_a_clip(folders: Path) -> None:
    by = engine(folders / "xtts-bare")
    assert said(by, "Hello", reference=clip())
    assert said(by, "Hello", voice="de", reference=clip())
    with pytest.raises(UnsupportedOption, match="no voices of its own"):
        said(by, "Hello")


@pytest.mark.parametrize(("reference", "error"), [(clip(0.2), InputError), (clip(3, 0.0), NoSpeech)])
def test_a_useless_clip_is_refused(xtts: CoquiTts, reference: Audio, error: type[Exception]) -> None:
    with pytest.raises(error):
        said(xtts, "Hello", reference=reference)


def test_what_a_model_cannot_do_is_refused(vits: CoquiTts) -> None:
    with pytest.raises(UnsupportedOption, match="pitch"):
        said(vits, "Hello", pitch=1.5)
    with pytest.raises(UnsupportedOption, match="imitate"):
        said(vits, "Hello", reference=clip())


@pytest.mark.parametrize(
    "text", ["😀", "?!", "مرحبا", "\x00\x01", "# A title\n\n- **one**\n- two", "x" * 700]
)
def test_odd_text_does_not_break_it(vits: CoquiTts, text: str) -> None:
    said(vits, text)


def test_closing_the_iterator_frees_the_model(xtts: CoquiTts) -> None:
    pieces = xtts.speak(SpeakRequest(text="A long sentence that goes on. " * 50))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert said(xtts, "Next")


def test_two_callers_take_turns(xtts: CoquiTts) -> None:
    first, second = (xtts.speak(SpeakRequest(text="One. Two.")) for _ in range(2))
    next(first)
    assert list(second)
    assert list(first)


async def test_the_stage_streams_and_stops_it(folders: Path) -> None:
    stage = TtsStage(
        TtsArgs(engine="coqui", model=str(folders / "xtts"), engine_options={"stream_chunk_size": 4})
    )
    async with aclosing(stage.stream_speak(SpeakRequest(text="Hello there. " * 100))) as chunks:
        assert (await anext(chunks)).duration_s <= 0.061
        assert (await anext(chunks)).duration_s <= 0.201
    assert await asyncio.wait_for(anext(stage.stream_speak(SpeakRequest(text="Next"))), 60)


def test_a_wrong_model_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model, message in (
        ("", "no model"),
        (str(tmp_path / "empty"), "config.json"),
        ("no/such/model", "cannot load"),
    ):
        with pytest.raises(ConfigError, match=message):
            CoquiTts(TtsArgs(engine="coqui", model=model))


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "harmed",)  # type: ignore[return-value]

    save_vits(tmp_path / "vits", [])
    torch.save({"model": Harm()}, tmp_path / "vits" / "model.pth")
    with pytest.raises(ConfigError, match="more than weights"):
        engine(tmp_path / "vits")
    assert not (tmp_path / "harmed").exists()
