from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve_apps.engines.chat_template import ChatTemplate
from serve_apps.errors import ConfigError, InputError
from serve_apps.wire import Message

CHATML = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
HELLO = [Message(role="user", content="hello")]


def test_messages_become_a_prompt() -> None:
    template = ChatTemplate(CHATML, bos="<s>")
    assert template.render(HELLO) == "<s>[user]hello[assistant]"


def test_content_is_not_a_template() -> None:
    text = "{{ 7 * 7 }} <b>&amp;"
    assert text in ChatTemplate(CHATML).render([Message(role="user", content=text)])


def test_a_template_may_refuse() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InputError, match="roles must alternate"):
        template.render(HELLO)


def test_templates_have_json_and_the_date() -> None:
    template = ChatTemplate("{{ messages[0]|tojson }} {{ strftime_now('%Y') }}")
    assert template.render([Message(role="user", content="é<")]).startswith(
        '{"role": "user", "content": "é<"} 2'
    )


@pytest.mark.parametrize(
    "source",
    ["{{ messages.__class__.__mro__ }}", "{{ ''.__class__ }}", "{% set _ = messages.append(1) %}"],
)
def test_the_sandbox_holds(source: str) -> None:
    try:
        text = ChatTemplate(source).render(HELLO)
    except InputError:
        return
    assert text == ""


@pytest.mark.parametrize("source", ["", "{% for %}"], ids=["none", "broken"])
def test_a_model_without_a_working_template_is_a_configuration_error(source: str) -> None:
    with pytest.raises(ConfigError):
        ChatTemplate(source)


@pytest.mark.parametrize(
    "template",
    [
        "{{ bos_token }}hi",
        [{"name": "tools", "template": "no"}, {"name": "default", "template": "{{ bos_token }}hi"}],
    ],
    ids=["one", "several"],
)
def test_the_template_of_a_folder(tmp_path: Path, template: object) -> None:
    config = {"chat_template": template, "bos_token": {"content": "<s>"}, "eos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert ChatTemplate.of_folder(tmp_path).render(HELLO) == "<s>hi"
    (tmp_path / "chat_template.jinja").write_text("own file")
    assert ChatTemplate.of_folder(tmp_path).render(HELLO) == "own file"
