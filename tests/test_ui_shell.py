"""The frame: links, health, errors, the recurring components, the theme."""

from __future__ import annotations

import asyncio
import re

import gradio as gr
import pytest
from playwright.sync_api import Page, expect

from serve_apps.errors import EmptyInput, NotRunning, StageBusy, UnknownName
from serve_apps.wire import ApplicationStatus, Span
from tests.fake_clients import APPLICATIONS, FakeCluster, card, fake_clients
from tests.ui_server import served
from ui import shell, stats, theme
from ui.waterfall import waterfall


class SilentCluster(FakeCluster):
    """Never answers."""

    async def applications(self) -> list[ApplicationStatus]:
        await asyncio.Event().wait()
        return []


class BrokenCluster(FakeCluster):
    async def applications(self) -> list[ApplicationStatus]:
        raise NotRunning("There is no cluster.")


@pytest.mark.parametrize(
    ("to", "here", "href"),
    [("home", "home", "./"), ("chat", "home", "chat/"), ("home", "chat", "../"), ("stt", "chat", "../stt/")],
)
def test_links_are_relative(to: str, here: str, href: str) -> None:
    assert shell.link(to, here=here) == href


def test_header_marks_the_current_page() -> None:
    html = shell.header("tts", ["tts"])
    assert re.findall(r'href="([^"]*)" aria-current="page"', html) == ["../tts/"]
    assert 'data-stage="tts"' in html


async def test_health_has_status_and_reason_of_each_stage() -> None:
    cluster = FakeCluster(stt=("failed", "no weights"))
    facts = await shell.stage_health(cluster, ["stt", "tts", "translation"])
    assert [(fact["stage"], fact["status"]) for fact in facts] == [
        ("stt", "failed"),
        ("tts", "healthy"),
        ("translation", "absent"),
    ]
    assert facts[0]["message"] == "no weights"


@pytest.mark.parametrize("cluster", [SilentCluster(), BrokenCluster()])
async def test_health_of_a_cluster_that_does_not_answer(cluster: FakeCluster) -> None:
    async with asyncio.timeout(5):
        facts = await shell.stage_health(cluster, ["llm"])
    assert facts[0]["status"] == "unknown"


async def test_tabs_share_one_question_to_the_cluster() -> None:
    cluster = FakeCluster()
    ask = shell._health_question(cluster, ["llm"])
    assert await ask() == await ask()
    assert cluster.n_calls == 1


def test_errors_are_shown_escaped_with_their_hint() -> None:
    with pytest.raises(gr.Error) as caught, shell.shown():
        raise UnknownName("No voice '<img src=x>'.", "Choose <b>one</b>.")
    assert caught.value.message == "No voice &#x27;&lt;img src=x&gt;&#x27;.<br>Choose &lt;b&gt;one&lt;/b&gt;."


def test_busy_has_a_title_of_its_own() -> None:
    with pytest.raises(gr.Error) as caught, shell.shown():
        raise StageBusy("tts", "Everybody is talking.")
    assert caught.value.title == "Busy"


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), shell.shown():
        raise KeyError("x")


def test_waterfall_stays_in_its_track_and_escapes_names() -> None:
    html = waterfall(
        [Span(name="<b>", start_ms=0, duration_ms=0), Span(name="llm", start_ms=990, duration_ms=10)]
    )
    assert "<b>" not in html
    bars = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", html)
    assert len(bars) == 2
    assert all(float(left) + float(width) <= 100.01 for left, width in bars)
    assert "llm: from 990 ms to 1.00 s" in html


@pytest.mark.parametrize("spans", [[], [Span(name="a", start_ms=0, duration_ms=0)]])
def test_waterfall_of_nothing(spans: list[Span]) -> None:
    assert waterfall(spans).count("<li") == len(spans)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (92_871_040, "88.6 MiB"), (5 * 1024**3, "5.00 GiB")]
)
def test_sizes(value: int, text: str) -> None:
    assert stats.size(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.42, "0.4 ms"), (41.5, "42 ms"), (2310, "2.31 s")])
def test_durations(value: float, text: str) -> None:
    assert stats.milliseconds(value) == text


def test_model_chip_and_progress_line() -> None:
    assert "fake-llm" in stats.model_chip(card("llm"))
    assert 'value="1.000"' in stats.progress_line("Reading", 1.7)
    assert "value" not in stats.progress_line("Reading <file>")
    assert "<file>" not in stats.progress_line("Reading <file>")


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two `#rrggbb` colours."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("body_text_color", "body_background_fill"),
        ("body_text_color_subdued", "body_background_fill"),
        ("body_text_color_subdued", "background_fill_secondary"),
        ("link_text_color", "background_fill_primary"),
        ("button_primary_text_color", "button_primary_background_fill"),
        ("input_placeholder_color", "input_background_fill"),
        ("body_text_color", "color_accent_soft"),
    ],
)
@pytest.mark.parametrize("mode", ["", "_dark"])
def test_text_can_be_read(text: str, ground: str, mode: str) -> None:
    look = theme.theme()

    def colour(name: str) -> str:
        value = getattr(look, name + mode) or getattr(look, name)
        while value.startswith("*"):
            value = getattr(look, value[1:] + mode, None) or getattr(look, value[1:])
        return {"white": "#ffffff"}.get(value, value)

    assert contrast(colour(text), colour(ground)) >= 4.5


def test_the_look_needs_no_other_host() -> None:
    everything = theme.css() + theme.head() + theme.theme()._get_theme_css()
    assert not re.search(r"@import|url\((?!['\"]?data:)|https?://(?!www\.w3\.org)", everything)
    assert theme.theme()._stylesheets == []


def test_header_in_a_browser(page: Page) -> None:
    clients = fake_clients(cluster=FakeCluster(llm=("starting", "loading the weights")))
    with served(clients, "home") as address:
        page.goto(f"{address}/ui/")
        health = page.locator(".ray-health summary")
        expect(health).to_have_attribute("aria-label", "Models: llm loading")
        health.focus()
        page.keyboard.press("Enter")
        expect(page.locator(".ray-health-list")).to_contain_text("loading the weights")
        page.keyboard.press("Escape")
        expect(page.locator(".ray-health-list")).to_be_hidden()
        page.keyboard.press("Home")
        page.locator(".ray-skip").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#ray-main")).to_be_focused()


def test_colours_follow_the_system_until_chosen(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    with served(fake_clients(), "home") as address:
        page.goto(f"{address}/ui/")
        expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
        button = page.locator(".ray-theme")
        button.click()
        expect(button).to_have_attribute("aria-label", "Colours: light")
        expect(page.locator("body")).not_to_have_class(re.compile(r"\bdark\b"))
        page.reload()
        expect(button).to_have_attribute("aria-label", "Colours: light")
        expect(page.locator("body")).not_to_have_class(re.compile(r"\bdark\b"))


def test_every_application_is_known_to_the_fakes() -> None:
    assert set(shell.PAGES) - {"home", "chat", "voice"} <= set(APPLICATIONS)


def test_endpoints_tell_errors_in_plain_words() -> None:
    with pytest.raises(gr.Error) as told, shell.told():
        raise EmptyInput("Nothing in 'it'.", "Send <more>.")
    assert told.value.message == "Nothing in 'it'. Send <more>."
