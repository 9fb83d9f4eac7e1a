"""The audio thread of the voice page: what its microphone and its speaker do to sound, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from serve_apps.settings import ASSETS
from tests.fake_door import RATE_HZ

CODE = (ASSETS / "live" / "worklets.js").read_text()
RENDER = """async ({ code, node, rate_hz, seconds, tone_hz, steps }) => {
  const context = new OfflineAudioContext(1, rate_hz * seconds, rate_hz);
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  await context.audioWorklet.addModule(address);
  const worklet = new AudioWorkletNode(context, node, { processorOptions: { rate_hz: 24000 } });
  const told = [];
  worklet.port.onmessage = ({ data }) => told.push(data.samples ? { samples: [...data.samples] } : data);
  if (tone_hz) {
    const tone = new OscillatorNode(context, { frequency: tone_hz });
    tone.connect(new GainNode(context, { gain: 0.5 })).connect(worklet);
    tone.start();
  }
  worklet.connect(context.destination);
  const settle = () => new Promise((then) => setTimeout(then, 50)); // messages cross between the threads
  for (const { at_s, messages } of steps) {
    context.suspend(at_s).then(async () => {
      for (const message of messages) {
        if (message.play) message.play.samples = Int16Array.from(message.play.samples);
        worklet.port.postMessage(message);
      }
      await settle();
      context.resume();
    });
  }
  const sound = await context.startRendering();
  await settle();
  return { told, sound: [...sound.getChannelData(0)] };
}"""
"""Renders a worklet faster than real time, told things at certain times."""
N_FADE = round(0.006 * RATE_HZ)
BLOCK = 128


@pytest.fixture
def secure(chromium: Browser) -> Iterator[Page]:
    """A page that may use worklets: browsers give them only to secure ones."""
    page = chromium.new_page()
    page.route("https://secure.example/", lambda route: route.fulfill(content_type="text/html", body=""))
    page.goto("https://secure.example/")
    yield page
    page.close()


def render(page: Page, node: str, **wanted: Any) -> dict[str, Any]:
    about = {"code": CODE, "node": node, "rate_hz": RATE_HZ, "seconds": 2, "tone_hz": 0, "steps": []}
    rendered: dict[str, Any] = page.evaluate(RENDER, {**about, **wanted})
    return rendered


def speak(page: Page, *steps: tuple[float, list[dict[str, Any]]]) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """The speaker's sound and reports, given what it is told and when."""
    told = [{"at_s": at_s, "messages": messages} for at_s, messages in steps]
    rendered = render(page, "raydio-speaker", steps=told)
    return np.array(rendered["sound"]), rendered["told"]


def steady(duration_s: float, item: str = "it") -> dict[str, Any]:
    """A constant half of full scale, to see every sample that is missing."""
    return {"play": {"item": item, "samples": [16_384] * round(duration_s * RATE_HZ)}}


# ---- the microphone ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate_hz", "pitch_hz"),
    [(24_000, 1_000), (44_100, 1_000), (44_100, 9_000), (48_000, 9_000), (44_100, 15_000), (48_000, 15_000)],
)
def test_any_sound_card_becomes_24_khz_without_aliases(secure: Page, rate_hz: int, pitch_hz: int) -> None:
    """A pitch stays where it is, and what 24 kHz cannot hold is gone, not mirrored."""
    told = render(secure, "raydio-microphone", rate_hz=rate_hz, tone_hz=pitch_hz)["told"]
    assert {len(piece["samples"]) for piece in told} == {RATE_HZ // 50}
    whole = np.concatenate([piece["samples"] for piece in told])
    assert len(whole) == pytest.approx(2 * RATE_HZ, abs=RATE_HZ / 25)
    sound = whole[4_000:36_000] / 32_768
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) * 4 / len(sound)
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    near = np.abs(hz - pitch_hz) < 50
    if pitch_hz < RATE_HZ / 2:
        assert spectrum[near].max() == pytest.approx(0.5, rel=0.1)
    assert spectrum[~near].max() < 0.005


# ---- the speaker ---------------------------------------------------------------------------------


def test_every_sample_is_played_once_and_counted(secure: Page) -> None:
    sound, told = speak(secure, (0.0, [steady(0.3), steady(0.2), {"end": "it"}]))
    assert np.count_nonzero(sound) == RATE_HZ // 2
    assert np.ptp(sound[: RATE_HZ // 2]) == 0
    assert [t["playing"] for t in told] == [True] * (len(told) - 1) + [False]
    assert (told[0]["played"], told[-1]["played"], told[-1]["underruns"]) == (0, RATE_HZ // 2, 0)


def test_one_answer_follows_the_other_without_a_gap(secure: Page) -> None:
    sound, told = speak(secure, (0.0, [steady(0.2), {"end": "it"}, steady(0.2, "next"), {"end": "next"}]))
    assert np.count_nonzero(sound[: round(0.4 * RATE_HZ)]) == round(0.4 * RATE_HZ)
    assert [(t["item"], t["played"]) for t in told if not t["playing"]] == [
        ("it", round(0.2 * RATE_HZ)),
        ("next", round(0.2 * RATE_HZ)),
    ]


def test_a_stop_fades_out_at_once_and_says_what_was_played(secure: Page) -> None:
    sound, told = speak(secure, (0.0, [steady(1.5)]), (0.5, [{"stop": 7}]), (1.0, [steady(0.1, "next")]))
    ends = int(np.flatnonzero(sound[: RATE_HZ - BLOCK])[-1])
    assert ends - RATE_HZ // 2 < N_FADE + BLOCK
    assert np.abs(np.diff(sound[RATE_HZ // 2 - BLOCK : ends + 2])).max() < 0.5 / N_FADE * 1.5  # no click
    (stopped,) = [t["stopped"] for t in told if "stopped" in t]
    assert (stopped["token"], stopped["item"]) == (7, "it")
    assert stopped["played"] == pytest.approx(ends, abs=2)
    assert sound[RATE_HZ + BLOCK] == pytest.approx(0.5, abs=0.01), "the next answer is as loud as before"


def test_a_suspicion_lowers_the_sound_smoothly(secure: Page) -> None:
    steps = (0.0, [steady(1.5)]), (0.5, [{"gain": 0.3}]), (1.0, [{"gain": 1}])
    sound, _ = speak(secure, *steps)
    assert sound[round(0.9 * RATE_HZ)] == pytest.approx(0.15, abs=0.005)
    assert sound[round(1.4 * RATE_HZ)] == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.diff(sound[: round(1.4 * RATE_HZ)])).max() < 0.002


def test_running_dry_is_one_gap_and_loses_nothing(secure: Page) -> None:
    sound, told = speak(secure, (0.0, [steady(0.2)]), (0.5, [steady(0.2), {"end": "it"}]))
    assert np.count_nonzero(sound) == round(0.4 * RATE_HZ)
    assert (told[-1]["playing"], told[-1]["underruns"]) == (False, 1)
