"""What the microphone button sends, read by somebody who does not trust it."""

from __future__ import annotations

import base64
from typing import Any

import gradio as gr
import numpy as np
import pytest

from serve_apps.errors import AudioTooLong, AudioUnreadable, EmptyInput
from ui.recorder import MAX_S, clip, recorder

PCM = np.array([0, 16384, -32768, 32767], "<i2")


def recorded(samples: object = PCM, rate_hz: object = 16_000) -> gr.EventData:
    audio = base64.b64encode(samples.tobytes()).decode() if isinstance(samples, np.ndarray) else samples
    return gr.EventData(None, {"audio": audio, "rate_hz": rate_hz})


def test_samples_and_rate_come_as_they_were_recorded() -> None:
    audio = clip(recorded(rate_hz=48_000))
    assert audio.rate_hz == 48_000
    assert audio.samples == pytest.approx([0, 0.5, -1, 1], abs=1e-4)
    assert audio.samples.dtype == np.float32


@pytest.mark.parametrize("rate_hz", [None, "16000", 0, -16_000, 7_999, 10**9, 16_000.5, True])
def test_an_odd_rate_is_refused(rate_hz: object) -> None:
    with pytest.raises(AudioUnreadable, match="rate"):
        clip(recorded(rate_hz=rate_hz))


@pytest.mark.parametrize("audio", [None, 7, "not base64!", "AAA", base64.b64encode(b"odd").decode(), "ÄÖ"])
def test_what_is_not_whole_samples_is_refused(audio: Any) -> None:
    with pytest.raises(AudioUnreadable, match="whole"):
        clip(recorded(audio))


def test_an_event_without_a_recording_is_refused() -> None:
    with pytest.raises(AudioUnreadable):
        clip(gr.EventData(None, {}))


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(EmptyInput):
        clip(recorded(""))


@pytest.mark.parametrize("rate_hz", [8_000, 48_000])
def test_the_limit_is_in_seconds_with_a_little_slack(rate_hz: int) -> None:
    assert clip(recorded(np.zeros(int(MAX_S * rate_hz), "<i2"), rate_hz)).duration_s == MAX_S
    with pytest.raises(AudioTooLong):
        clip(recorded(np.zeros(int((MAX_S + 2) * rate_hz), "<i2"), rate_hz))


async def test_the_button_brings_its_script_worklet_and_limits() -> None:
    with gr.Blocks(analytics_enabled=False):
        button = recorder()
    assert "registerProcessor" in button.props["worklet"]
    assert button.props["max_s"] == MAX_S
    assert button.recorded is not None
    assert button.press is not None
