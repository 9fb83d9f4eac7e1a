"""The microphone button: press to talk, in the browser, and what it recorded as an Audio."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import gradio as gr
import numpy as np

from serve_apps.errors import AudioTooLong, AudioUnreadable, EmptyInput
from serve_apps.media import from_int16
from serve_apps.settings import ASSETS
from serve_apps.wire import Audio

MIN_S = 0.3
"""A shorter clip is a slip of the finger."""
MAX_S = 60.0
"""A longer one is sent when it gets there."""
_SLACK_S = 1.0
"""The browser measures in pieces, and records a tail after the release."""
_RATES_HZ = range(8_000, 192_001)
_BUTTON = """
<div class="ray-mic" data-state="idle">
  <button type="button" class="ray-mic-button" aria-label="Talk" aria-pressed="false">
    <svg viewBox="0 0 24 24" width="34" height="34" fill="none" stroke="currentColor" stroke-width="1.8"
         stroke-linecap="round" aria-hidden="true">
      <rect x="9" y="3" width="6" height="11" rx="3" fill="currentColor" stroke="none"/>
      <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3"/>
    </svg>
  </button>
  <div class="ray-mic-clock" role="timer" aria-live="off"></div>
  <p class="ray-mic-hint" role="status"></p>
</div>
"""


def recorder() -> gr.HTML:
    """The button. Its events: `press` (to talk) and `recorded` (`clip` reads its data)."""
    return gr.HTML(
        html_template=_BUTTON,
        js_on_load=(ASSETS / "recorder.js").read_text(),
        css_template=(ASSETS / "recorder.css").read_text(),
        apply_default_css=False,
        elem_classes="ray-recorder",
        worklet=(ASSETS / "mic-worklet.js").read_text(),
        min_s=MIN_S,
        max_s=MAX_S,
    )


def clip(recorded: gr.EventData) -> Audio:
    """What was recorded. The browser is not trusted with rate, length or form.

    Raises:
        AudioUnreadable: not what the button sends.
        EmptyInput: no samples.
        AudioTooLong: over MAX_S.
    """
    rate_hz = getattr(recorded, "rate_hz", None)
    if not isinstance(rate_hz, int) or rate_hz not in _RATES_HZ:
        raise AudioUnreadable("The recording has no usable sample rate.", "Reload the page and record again.")
    samples = _samples(getattr(recorded, "audio", None))
    if not len(samples):
        raise EmptyInput("The recording is empty.", "Hold the button while you talk.")
    if len(samples) > (MAX_S + _SLACK_S) * rate_hz:
        raise AudioTooLong(f"The recording is longer than {MAX_S:g} seconds.", "Say it in parts.")
    return Audio(samples=samples, rate_hz=rate_hz)


def _samples(text: object) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else b"?"
        return from_int16(np.frombuffer(raw, dtype="<i2"))
    except (binascii.Error, ValueError) as error:
        raise AudioUnreadable(
            "The recording did not arrive whole.", "Reload the page and record again."
        ) from error
