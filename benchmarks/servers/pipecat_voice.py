"""A peer of row 8: Pipecat over its WebSocket transport, the mock engines as services in its process.

`.venv-bench-pipecat/bin/python -m benchmarks.servers.pipecat_voice PORT SILENCE_MS`. 16-bit samples travel
bare, in at 16 kHz, out at 24 kHz. Its own Silero VAD; the end of the turn as it recommends: transcription
begins after `VAD_STOP_SECS` of quiet, the answer after SILENCE_MS. No metrics, no tracing, no log.
"""
# ruff: noqa: D101, D102 (its services' own words say what these are)

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VAD_STOP_SECS
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.server import (
    SingleClientWebsocketServerParams,
    SingleClientWebsocketServerTransport,
)
from pipecat.turns.user_stop.speech_timeout_user_turn_stop_strategy import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from benchmarks.mock_voice import VoiceLlm, VoiceStt, VoiceTts
from serve_apps.args import LlmArgs, SttArgs, TtsArgs
from serve_apps.wire import STT_RATE_HZ, ChatRequest, LlmDelta, Message, SpeakRequest, SttOptions

OUT_RATE_HZ = 24_000
N_TOKENS = 7
MOCK = "mock"


class BareSamples(FrameSerializer):
    """Samples and nothing else, both ways."""

    async def serialize(self, frame: Frame) -> str | bytes | None:
        return frame.audio if isinstance(frame, OutputAudioRawFrame) else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        assert isinstance(data, bytes)
        return InputAudioRawFrame(audio=data, sample_rate=STT_RATE_HZ, num_channels=1)


class Stt(SegmentedSTTService):
    def __init__(self) -> None:
        settings = STTSettings(model=MOCK, language=None)
        super().__init__(ttfs_p99_latency=0.0, settings=settings)
        self._engine = VoiceStt(SttArgs(engine=MOCK))

    @property
    def wants_wav_segments(self) -> bool:
        return False

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        samples = np.frombuffer(audio, np.int16).astype(np.float32) / 32768
        (segment,) = self._engine.transcribe(samples, SttOptions())
        yield TranscriptionFrame(segment.text, self._user_id, time_now_iso8601())


class Llm(LLMService):
    def __init__(self) -> None:
        nothing = dict.fromkeys(
            [
                "system_instruction",
                "temperature",
                "max_tokens",
                "top_p",
                "top_k",
                "frequency_penalty",
                "presence_penalty",
                "seed",
                "filter_incomplete_user_turns",
                "user_turn_completion_config",
            ]
        )
        super().__init__(settings=LLMSettings(model=MOCK, **nothing))
        self._engine = VoiceLlm(LlmArgs(engine=MOCK))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        messages = tuple(
            Message(role=message["role"], content=message["content"]) for message in frame.context.messages
        )
        async for event in self._engine.stream_chat(ChatRequest(messages=messages, max_tokens=N_TOKENS)):
            if isinstance(event, LlmDelta):
                await self._push_llm_text(event.text)
        await self.push_frame(LLMFullResponseEndFrame())


class Tts(TTSService):
    def __init__(self) -> None:
        settings = TTSSettings(model=MOCK, voice=MOCK, language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=settings)
        self._engine = VoiceTts(TtsArgs(engine=MOCK))

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        frames = self._stream_audio_frames_from_iterator(
            self._pieces(text), in_sample_rate=self._engine.rate_hz, context_id=context_id
        )
        async for frame in frames:
            yield frame

    async def _pieces(self, text: str) -> AsyncIterator[bytes]:
        for audio in self._engine.speak(SpeakRequest(text=text)):
            yield (audio.samples * 32767).astype(np.int16).tobytes()


async def main(port: int, silence_s: float) -> None:
    params = SingleClientWebsocketServerParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_auto_silence=False,
        serializer=BareSamples(),
    )
    transport = SingleClientWebsocketServerTransport(params, host="127.0.0.1", port=port)
    ending = SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=max(0.0, silence_s - VAD_STOP_SECS))
    user = LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=UserTurnStrategies(stop=[ending])
    )
    asked, answered = LLMContextAggregatorPair(LLMContext(), user_params=user)
    pipeline = Pipeline([transport.input(), Stt(), asked, Llm(), Tts(), transport.output(), answered])
    rates = PipelineParams(audio_in_sample_rate=STT_RATE_HZ, audio_out_sample_rate=OUT_RATE_HZ)
    runner = WorkerRunner()
    await runner.add_workers(PipelineWorker(pipeline, params=rates, idle_timeout_secs=None))
    await runner.run()


if __name__ == "__main__":
    logger.remove()
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
