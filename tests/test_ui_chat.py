"""Chat: pacing, harmless markup, the handlers, the endpoint, and the page in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from gradio.exceptions import AppError
from gradio_client import Client
from playwright.sync_api import Page, expect

from serve_apps.errors import ContextOverflow, StageBusy, StageUnavailable
from serve_apps.wire import Message, TextDelta, TurnEvent, TurnFailed, TurnRequest
from tests.chat_page import answered, ask, served_chat, until, visit
from tests.fake_clients import FakeChat, turn_done
from ui.answer import Answer, conversation, note, question_at, said
from ui.markup import BREAK, defuse, restore
from ui.pacing import batches

# ---- pacing ----------------------------------------------------------------------------------


async def _count(n: int, *, then: BaseException | None = None) -> AsyncIterator[int]:
    for i in range(n):
        yield i
    if then:
        raise then


async def test_batches_hold_everything_in_order() -> None:
    assert [i async for batch in batches(_count(1000)) for i in batch] == list(range(1000))


async def test_batches_pulse_in_silence_and_pass_the_cancel_on() -> None:
    ended = asyncio.Event()

    async def silent() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.set()

    stream = batches(silent())
    assert await anext(stream) == []
    await stream.aclose()  # type: ignore[attr-defined]
    assert ended.is_set()


async def test_what_can_wait_delays_nothing() -> None:
    """That a question is stored is known before the first token: no frame's pause must come between."""

    async def stored_then_said() -> AsyncIterator[str]:
        yield "stored"
        for _ in range(10):
            await asyncio.sleep(0)
        yield "said"

    got = [batch async for batch in batches(stored_then_said(), quiet=lambda item: item == "stored") if batch]
    assert got == [["stored", "said"]]


async def test_stop_ends_a_silent_stream() -> None:
    stop = asyncio.Event()

    async def silent() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    got = []
    async with asyncio.timeout(5):
        async for batch in batches(silent(), stop):
            got.append(batch)
            stop.set()
    assert not any(got)


async def test_an_error_comes_after_what_was_before_it() -> None:
    got: list[int] = []

    async def take() -> None:
        async for batch in batches(_count(3, then=StageBusy("llm", "Busy."))):
            got.extend(batch)

    with pytest.raises(StageBusy):
        await take()
    assert got == [0, 1, 2]


# ---- markup ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](https://evil.example/a.png)",
        "![x][ref]",
        '<img src="https://evil.example">',
        "<IMG/src=x>",
        "<svg><image href=x></svg>",
        '<p style="background:url(https://evil.example)">',
        "<form action=https://evil.example><input></form>",
        "<iframe src=x></iframe>",
        "<!-- --><style>a{}</style>",
        '</p\n onclick="x">',
        "`<img src=x>` and <img src=y>",
        "\\`<img src=x>`",
    ],
)
def test_what_loads_or_submits_becomes_text(hostile: str) -> None:
    safe = defuse(hostile)
    outside = safe.replace("`<img src=x>`", "", 1) if hostile.startswith("`") else safe
    assert "<img" not in outside.lower()
    assert "![" not in outside
    assert "<form" not in outside
    assert "<p " not in outside
    assert restore(safe) == hostile


@pytest.mark.parametrize(
    "harmless",
    [
        "a < b and b > c",
        "$$a<b$$",
        "**bold** [link](https://example.org)",
        "<think>why</think>so",
        "```html\n<img src=x>\n![x](y)\n```",
        "~~~\n<form action=x>",
        "use `<img src=x>` here",
        "<b>bold</b><br>",
        "😀 مرحبا",
        "",
    ],
)
def test_the_rest_stays(harmless: str) -> None:
    assert defuse(harmless) == harmless


def test_markup_of_a_long_answer_is_quick_work() -> None:
    assert BREAK in defuse("`" * 20_000 + "<" * 20_000 + "![" * 20_000)


# ---- answers and conversations ----------------------------------------------------------------


def _answer(*events: TurnEvent) -> Answer:
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def test_an_answer_ends_with_its_numbers() -> None:
    text, numbers = _answer(TextDelta(text="Hello"), TextDelta(text=" you"), turn_done(2)).messages()
    assert text["content"][0]["text"] == "Hello you"
    assert numbers["metadata"]["title"] == "2 tokens · 52.5 tok/s · first token 41 ms · prompt 24 (8 cached)"
    assert "ray-fall" in numbers["content"][0]["text"]


def test_what_was_degraded_is_said() -> None:
    messages = _answer(turn_done(2, notes=("No reranker: order by similarity.",))).messages()
    assert messages[0]["content"][0]["text"] == "No reranker: order by similarity."


def test_a_failed_turn_keeps_what_came_and_says_what_to_do() -> None:
    failed = TurnFailed(stage="llm", code="stage_busy", message="The llm is busy.", retry_after_s=2)
    text, reason = _answer(TextDelta(text="Half an"), failed).messages()
    assert text["content"][0]["text"] == "Half an"
    assert reason["metadata"]["title"] == "The llm is busy."
    assert "in 2 s" in reason["content"][0]["text"]


def test_an_error_keeps_its_own_hint() -> None:
    answer = Answer()
    answer.fail(ContextOverflow("Too long.", "Shorten it."))
    assert answer.messages()[0]["content"][0]["text"] == "Shorten it."


def test_the_model_sees_words_only() -> None:
    log = [
        said("user", defuse("What is <img src=x>?")),
        {**said("assistant", "hm"), "metadata": {"title": "Reasoning"}},
        said("assistant", "A"),
        said("assistant", "B"),
        note("3 tokens", "x"),
        said("user", "And?"),
    ]
    assert conversation(log) == (
        Message(role="user", content="What is <img src=x>?"),
        Message(role="assistant", content="A\n\nB"),
        Message(role="user", content="And?"),
    )


def test_the_question_of_an_answer() -> None:
    log = [
        said("user", "1"),
        said("assistant", "a"),
        said("user", "2"),
        said("assistant", "b"),
        note("n", "x"),
    ]
    assert question_at(log, 4) == (log[:2], "2", "")
    assert question_at(log, 1) == ([], "1", "")
    assert question_at([], 0) == ([], "", "")
    assert question_at([said("user", "1", message_id="a")], 0) == ([], "1", "a")


# ---- the endpoint ------------------------------------------------------------------------------


HISTORY = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def _client(address: str) -> Client:
    return Client(f"{address}/ui/chat/", verbose=False, analytics_enabled=False)


def test_endpoint_answers_and_streams() -> None:
    chat = FakeChat(pause_s=0.05)
    with served_chat(chat) as address:
        client = _client(address)
        assert client.predict("Hello there", api_name="/chat") == "You said: Hello there"
        job = client.submit("one two three", seed=7, history=HISTORY, api_name="/chat")
        assert job.result() == "You said: one two three"
        assert len(job.outputs()) > 2
    request: TurnRequest = chat.requests[-1]
    assert request.seed == 7
    assert request.max_tokens is None
    assert [message.content for message in request.messages] == ["Hi", "Hello", "one two three"]


def test_endpoint_errors_say_what_to_do() -> None:
    chat = FakeChat(end=StageUnavailable("llm", "The llm is starting.", "Try again soon."))
    with served_chat(chat) as address, pytest.raises(AppError, match="Try again soon"):
        _client(address).predict("Hello", api_name="/chat")


# ---- the page in a browser ---------------------------------------------------------------------


def _ask(page: Page, address: str, text: str) -> None:
    visit(page, address)
    ask(page, text)


def test_a_turn_in_the_browser(page: Page) -> None:
    with served_chat() as address:
        _ask(page, address, "Hello")
        expect(page.get_by_text("tok/s")).to_be_visible()
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: Hello")
        box = page.get_by_role("textbox", name="Message")
        expect(box).to_have_value("")
        expect(box).to_be_focused()
        page.get_by_text("tok/s").click()
        expect(page.locator(".ray-fall-bar").first).to_be_visible()


def _go(page: Page, address: str, way: str) -> Page:
    """Stop, or leave; the page on which the test goes on."""
    match way:
        case "stop":
            page.get_by_role("button", name="Stop").click()
        case "tab":
            other = page.context.new_page()
            page.close()
            return other
        case "clear":
            page.get_by_role("button", name="Clear").click()
        case _:
            page.goto(f"{address}/ui/")
    return page


WRITING_S, WAITING_S = 0.02, 60.0


@pytest.mark.parametrize(
    ("way", "pause_s", "temporary"),
    [
        *((way, WRITING_S, False) for way in ("stop", "tab", "clear", "leave")),
        *((way, WAITING_S, False) for way in ("stop", "tab")),
        *((way, WRITING_S, True) for way in ("clear", "leave")),
        *((way, WAITING_S, True) for way in ("stop", "tab")),
    ],
)
def test_the_model_stops_when_nobody_waits(page: Page, way: str, pause_s: float, temporary: bool) -> None:
    """At once on Stop; a stored answer some time after its last watcher left, a temporary one with them."""
    chat = FakeChat("word", pause_s=pause_s, endless=True)
    with served_chat(chat, "chat", "home", unwatched_s=30 if way == "stop" else 0.3) as address:
        visit(page, address)
        if temporary:
            page.get_by_role("button", name="Temporary").click()
            expect(page.get_by_text("nothing is stored")).to_be_visible()
        ask(page, "Go on")
        expect(page.get_by_test_id("user" if pause_s > 1 else "bot").first).to_be_visible()
        page = _go(page, address, way)
        until(page, lambda: chat.n_closed == 1)
        if way == "stop":
            expect(page.get_by_text("Stopped")).to_be_visible()
            expect(page.get_by_role("button", name="Send")).to_be_visible()
            expect(page.get_by_role("log")).to_contain_text("word" if pause_s < 1 else "Stopped")
            expect(page.get_by_role("log")).not_to_contain_text("Waiting")


def test_retry_edit_undo(page: Page) -> None:
    chat = FakeChat()
    with served_chat(chat) as address:
        _ask(page, address, "First")
        numbers = page.get_by_text("tok/s")
        expect(numbers).to_be_visible()
        page.get_by_role("button", name="Retry").click()
        until(page, lambda: len(chat.requests) == 2)
        expect(numbers).to_be_visible()
        page.get_by_role("button", name="Edit").click()
        page.locator(".ray-log textarea").fill("Second")
        page.get_by_role("button", name="Submit").first.click()
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: Second")
        expect(numbers).to_be_visible()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("textbox", name="Message")).to_have_value("Second")
    assert [[m.content for m in request.messages] for request in chat.requests] == [
        ["First"],
        ["First"],
        ["Second"],
    ]


def test_a_copy_is_what_the_model_wrote(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with served_chat(FakeChat("Write <img src=x> so.")) as address:
        _ask(page, address, "Hello")
        expect(page.get_by_text("tok/s")).to_be_visible()
        copied = "async () => await navigator.clipboard.readText()"
        page.get_by_role("button", name="Copy message").last.click()
        until(page, lambda: page.evaluate(copied) == "Write <img src=x> so.")
        page.get_by_role("button", name="Copy conversation").click()
        until(page, lambda: page.evaluate(copied) == "user: Hello\n\nassistant: Write <img src=x> so.")


def test_an_example_is_one_click(page: Page) -> None:
    with served_chat() as address:
        page.goto(f"{address}/ui/chat/")
        page.get_by_role("button", name="rainbow").click()
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: Explain how a rainbow forms")


def test_busy_is_said_in_place_and_keeps_what_came(page: Page) -> None:
    chat = FakeChat("Half an answer", end=StageBusy("llm", "The llm is busy.", "Try again in 3 s.", 3))
    with served_chat(chat) as address:
        _ask(page, address, "Hello")
        log = page.get_by_role("log")
        expect(log).to_contain_text("The llm is busy.")
        expect(log).to_contain_text("Try again in 3 s.")
        expect(log).to_contain_text("Half an answer")


def test_a_hostile_answer_reaches_no_other_host(page: Page) -> None:
    hostile = (
        '![x](https://evil.example/1) <img src="https://evil.example/2"> <form action="/x"><input></form> end'
    )
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    with served_chat(FakeChat(hostile)) as address:
        _ask(page, address, "![me](https://evil.example/3)")
        expect(page.get_by_text("tok/s")).to_be_visible()
        assert page.locator(".ray-log :is(.message-content img, form, input)").count() == 0
        assert [url for url in urls if not url.startswith((address, "data:"))] == []


def test_markdown_code_and_latex_are_rendered(page: Page) -> None:
    reply = "**bold** `code` \\(x^2\\)\n\n```python\nprint(1)\n```\n\n$$y$$\n\n<think>hm</think>\n\nso"
    with served_chat(FakeChat(reply)) as address:
        _ask(page, address, "Show")
        expect(page.get_by_text("tok/s")).to_be_visible()
        for what in ("strong", "pre code", ".katex"):
            expect(page.locator(f".ray-log {what}").first).to_be_attached()
        expect(page.get_by_text("Reasoning")).to_be_visible()


def test_settings_reach_the_model(page: Page) -> None:
    chat = FakeChat()
    with served_chat(chat) as address:
        page.goto(f"{address}/ui/chat/")
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("System prompt").fill("Be brief.")
        page.get_by_label("Longest answer").fill("12")
        page.get_by_label("Stop before").fill("END")
        box = page.get_by_role("textbox", name="Message")
        box.fill("Hello")
        box.press("Enter")
        expect(page.get_by_text("tok/s")).to_be_visible()
    request: TurnRequest = chat.requests[0]
    assert (request.system_prompt, request.max_tokens, request.stop) == ("Be brief.", 12, ("END",))
    assert (request.temperature, request.top_p, request.seed) == (0.2, 1.0, None)
    assert request.caller


def test_an_empty_message_asks_nobody(page: Page) -> None:
    chat = FakeChat()
    with served_chat(chat) as address:
        _ask(page, address, "   ")
        page.wait_for_load_state("networkidle")
        box = page.get_by_role("textbox", name="Message")
        box.fill("real")
        box.press("Enter")
        expect(page.get_by_text("tok/s")).to_be_visible()
    assert [request.messages[-1].content for request in chat.requests] == ["real"]


def test_chat_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    with served_chat() as address:
        _ask(page, address, "w" * 200)
        expect(page.get_by_text("tok/s")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_number_typed_at_once_is_kept(page: Page) -> None:
    """Gradio once lost what was typed as soon as the settings were there."""
    fill_at_once = """(name) => new MutationObserver((_, observer) => {
        const field = document.querySelector(`#ray-settings [aria-label="${name}"]`);
        if (!field?.offsetParent) return;
        observer.disconnect();
        field.value = "12";
        field.dispatchEvent(new Event("input", { bubbles: true }));
    }).observe(document.body, { childList: true, subtree: true, attributes: true })"""
    chat = FakeChat()
    with served_chat(chat) as address:
        visit(page, address)
        page.evaluate(fill_at_once, "Longest answer")
        page.get_by_role("button", name="Settings").click()
        ask(page, "Hello")
        answered(page)
    assert chat.requests[0].max_tokens == 12
