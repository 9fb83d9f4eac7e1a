"""A model's own chat template: messages to prompt text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serve_apps.errors import ConfigError, InputError
from serve_apps.wire import Message


class ChatTemplate:
    """Renders messages as the model was trained to read them.

    The template came with the weights, so it runs in a sandbox: it sees the messages and nothing else.

    Source: the variables and functions that Hugging Face chat templates expect,
    https://huggingface.co/docs/transformers/chat_templating_writing.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        if not source:
            raise ConfigError("The model has no chat template.", "Use an instruction-tuned model.")
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda pattern: datetime.now(UTC).strftime(pattern)
        environment.filters["tojson"] = _to_json
        self._tokens = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ConfigError(f"The model's chat template is broken: {error}.", "Use another.") from error

    @classmethod
    def of_folder(cls, folder: Path) -> ChatTemplate:
        """The template of a Hugging Face style folder: `chat_template.jinja` or in tokenizer_config.json."""
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        file = folder / "chat_template.jinja"
        source = file.read_text("utf-8") if file.is_file() else _default(config.get("chat_template"))
        return cls(source, bos=plain(config.get("bos_token")), eos=plain(config.get("eos_token")))

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, ending where the assistant's answer begins.

        Raises:
            InputError: the template refuses these messages, for example two of one role in a row.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._tokens)
        except TemplateError as error:
            raise InputError(
                f"The model cannot read this conversation: {error}.", "Let user and assistant take turns."
            ) from error


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Jinja's own filter escapes for HTML, which a model does not read."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def plain(token: Any) -> str:
    """A token of tokenizer_config.json, written plainly or as an object with its `content`."""
    return token.get("content", "") if isinstance(token, dict) else token or ""


def _default(template: Any) -> str:
    """One template, or the default of several named ones."""
    if isinstance(template, list):
        return next((entry["template"] for entry in template if entry["name"] == "default"), "")
    return template or ""
