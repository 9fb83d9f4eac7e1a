from __future__ import annotations

from collections.abc import Sequence

from serve_apps.engines.static_prompts import MAX_KEPT, StaticPrompts
from serve_apps.wire import ChatRequest, Message


def tokens(messages: Sequence[Message]) -> list[str]:
    words = [f"<{m.role}> {m.content} </{m.role}>" for m in messages]
    return " ".join([*words, "<assistant>"]).split(" ")


def talk(system: str, user: str = "hi there", *, shared: bool = True) -> ChatRequest:
    messages = (Message(role="system", content=system), Message(role="user", content=user))
    return ChatRequest(messages=messages, system_is_shared=shared)


def split(prompts: StaticPrompts, request: ChatRequest) -> tuple[list[str], list[str], bool]:
    prompt = tokens(request.messages)
    static, rest, keep = prompts.split(request, prompt)
    assert static + rest == prompt
    return static, rest, keep


def test_a_shared_system_prompt_is_cut_off_from_the_first_request_on() -> None:
    prompts = StaticPrompts(tokens)
    for user in ("what else", "nothing"):
        static, rest, keep = split(prompts, talk("be kind", user))
        assert static == ["<system>", "be", "kind", "</system>", "<user>"]
        assert rest == [*user.split(), "</user>", "<assistant>"]
        assert keep


def test_other_prompts_stay_whole() -> None:
    prompts = StaticPrompts(tokens)
    assert split(prompts, talk("be kind", shared=False))[0] == []
    alone = ChatRequest(messages=(Message(role="user", content="hi"),), system_is_shared=True)
    assert split(prompts, alone)[0] == []


def test_what_is_kept_is_bounded_and_the_cut_is_not() -> None:
    prompts = StaticPrompts(tokens)
    for n in range(MAX_KEPT + 3):
        static, _, keep = split(prompts, talk(f"prompt {n}"))
        assert static
        assert keep == (n < MAX_KEPT)


def test_a_prompt_that_was_tokenised_otherwise_is_left_whole() -> None:
    prompts = StaticPrompts(tokens)
    assert prompts.split(talk("be kind"), ["other", "tokens"]) == ([], ["other", "tokens"], False)
