"""Embeddings page: lines, projection, search, files, handlers, endpoints, and the page in a browser."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.exceptions import AppError
from gradio_client import Client
from playwright.sync_api import Page, expect

from serve_apps.errors import EmptyInput, StageBusy, TextTooLong
from serve_apps.wire import QueryVector, Ranked, Vectors
from tests.fake_clients import FakeEmbeddings, FakeReranker, fake_clients
from tests.ui_server import served
from ui import charts, exports, neighbours, projection
from ui.explorer import EXAMPLES, Explorer, example, similarity
from ui.lines import CHUNK_LINES, MAX_CHARACTERS, MAX_LINES, LineVectors, split

FRUIT = ["red apple", "green apple", "red cherry"]
TOOLS = ["steel hammer", "steel saw", "small hammer"]


def vectors_of(lines: Sequence[str]) -> Vectors:
    fake = FakeEmbeddings()
    return np.stack([fake._vector(line) for line in lines])


# ---- lines -----------------------------------------------------------------------------------------


def test_lines_are_stripped_and_blank_ones_dropped() -> None:
    assert split("\ufeff one \r\n\n \t \rtwo\ntwo\n\U0001f389") == ["one", "two", "two", "\U0001f389"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", EmptyInput),
        (" \n\t\n", EmptyInput),
        ("x" * 50_000_000, TextTooLong),
        ("x\n" * (MAX_LINES + 1), TextTooLong),
    ],
    ids=["empty", "blank", "50 MB", "too many"],
)
def test_what_is_no_list_of_lines(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        split(text)


async def test_each_line_is_embedded_once() -> None:
    fake = FakeEmbeddings()
    lines = LineVectors(fake)
    texts = [f"line {i % 400}" for i in range(1000)]
    done = [n async for n in lines.fetch(texts)]
    assert [len(request) for request in fake.requests] == [CHUNK_LINES, 400 - CHUNK_LINES]
    assert done == [640, 1000]
    assert np.array_equal(await lines.of([*texts, "new"]), vectors_of([*texts, "new"]))
    assert fake.requests[-1] == ("new",)


async def test_another_model_starts_afresh() -> None:
    fake = FakeEmbeddings()
    lines = LineVectors(fake)
    await lines.of(["a", "b"])
    lines._model = "another"
    await lines.of(["a"])
    assert fake.requests[-1] == ("a",)


# ---- projection ------------------------------------------------------------------------------------


def test_the_plane_separates_what_is_different() -> None:
    flat = projection.plane(vectors_of(FRUIT + TOOLS))
    assert flat.shape == (6, 2)
    assert np.abs(flat).max() == pytest.approx(1)
    across = np.linalg.norm(flat[:3].mean(axis=0) - flat[3:].mean(axis=0))
    assert across > np.linalg.norm(flat[:3] - flat[:3].mean(axis=0), axis=1).max()
    assert np.array_equal(flat, projection.plane(vectors_of(FRUIT + TOOLS)))


@pytest.mark.parametrize("lines", [["one"], ["same", "same", "same"], ["a", "b"]])
def test_few_lines_have_a_picture(lines: list[str]) -> None:
    flat_map, heat = charts.picture(lines, vectors_of(lines))
    assert len(flat_map["xy"]) == 2 * len(lines)
    assert set(flat_map["groups"]) == {0}
    assert sorted(heat["order"]) == list(range(len(lines)))
    json.dumps([flat_map, heat])


def test_groups_find_topics() -> None:
    vectors = vectors_of([f"{FRUIT[i % 3]} apple" if i % 2 else f"{TOOLS[i % 3]} hammer" for i in range(40)])
    labels = projection.groups(vectors)
    assert len({int(label) for label in labels[::2]} & {int(label) for label in labels[1::2]}) == 0


def test_likes_are_neighbours_in_the_order() -> None:
    lines = [FRUIT[0], TOOLS[0], FRUIT[1], TOOLS[1], FRUIT[2], TOOLS[2]]
    vectors = vectors_of(lines)
    order = projection.order(vectors @ vectors.T)
    assert len({i % 2 for i in order[:3]}) == 1


def test_ten_thousand_lines_have_a_heat_map_of_the_typical_ones() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((10_000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat_map, heat = charts.picture([f"line {i}" for i in range(10_000)], vectors)
    assert len(flat_map["lines"]) == 10_000
    assert len(heat["rows"]) == len(set(heat["rows"])) == charts.HEAT_LINES
    assert len(heat["cosines"]) == charts.HEAT_LINES**2


def test_the_summary_is_escaped_and_names_pairs() -> None:
    lines = ["<img src=x> cat", "<img src=x> cat", "steel hammer"]
    vectors = vectors_of(lines)
    text = charts.summary(lines, vectors @ vectors.T)
    assert "<img" not in text
    assert "1.00" in text
    assert text.index("Most on its own") < text.index("steel hammer", text.index("Most on its own"))


# ---- search ----------------------------------------------------------------------------------------


def test_the_nearest_lines_best_first_and_of_equals_the_earlier() -> None:
    lines = [*TOOLS, "red cherry", "red cherry"]
    hits = neighbours.nearest(lines, vectors_of(lines), vectors_of(["red cherry"])[0], 3)
    assert [hit.index for hit in hits[:2]] == [3, 4]
    assert hits[0].cosine == pytest.approx(1, abs=1e-5)
    assert len(neighbours.nearest(lines, vectors_of(lines), vectors_of(["x"])[0], 99)) == len(lines)


class BackwardsReranker(FakeReranker):
    """Turns the order round."""

    async def rank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        vector: QueryVector | None = None,  # noqa: ARG002
    ) -> list[Ranked]:
        self.requests.append(query)
        return [Ranked(index=i, score=float(i)) for i in reversed(range(len(passages)))][:top_n]


async def test_reranking_says_what_moved() -> None:
    hits = [neighbours.Hit(index=i + 10, text=str(i), cosine=0.5) for i in range(3)]
    moved = await neighbours.reranked(BackwardsReranker(), "q", hits)
    assert [(hit.index, hit.n_up) for hit in moved] == [(12, 2), (11, 0), (10, -2)]
    shown = neighbours.html("q", moved, {}, "f")
    assert 'aria-label="2 up"' in shown
    assert "2 of 3 moved" in shown


def test_hits_are_escaped_and_cut() -> None:
    hit = neighbours.Hit(index=0, text="<script>x</script>" + "y" * 10_000, cosine=0.5)
    shown = neighbours.html("<b>q</b>", [hit], {}, "f")
    assert "<script>" not in shown
    assert "<b>q" not in shown
    assert len(shown) < 2000


# ---- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", exports.CHOICES)
def test_files_hold_every_number(choice: str) -> None:
    lines = ["one, with a comma", '"two"', "\U0001f389"]
    vectors = vectors_of(lines)
    expected = vectors if choice.startswith("Vectors") else vectors @ vectors.T
    path = exports.written(choice, lines, vectors, "m")
    if choice.endswith("CSV"):
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8"), newline="")))
        found_lines, found = [row[0] for row in rows[1:]], np.array([row[1:] for row in rows[1:]], float)
    else:
        content = json.loads(path.read_text("utf-8"))
        found_lines, found = content["lines"], np.array(content[choice.partition(",")[0].lower()])
    assert found_lines == lines
    assert np.allclose(found, expected, atol=1e-5)


def test_too_many_similarities_are_refused() -> None:
    with pytest.raises(TextTooLong, match="4,004,001 numbers"):
        exports.written("Similarities, CSV", ["x"] * 2001, np.zeros((2001, 2), np.float32), "m")


# ---- handlers --------------------------------------------------------------------------------------


def explorer(**replaced: Any) -> Explorer:
    clients = fake_clients(**replaced)
    return Explorer(clients, LineVectors(clients.embeddings))


TAB = gr.Request(session_hash="tab")


class GatedEmbeddings(FakeEmbeddings):
    """Answers while `gate` is open, which tests open from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = await super().embed(texts)
        await asyncio.to_thread(self.gate.wait)
        return vectors


async def test_showing_ends_with_charts_and_stop_switched_off() -> None:
    updates = [update async for update in explorer().show("a b\nc d\ne f", TAB)]
    assert "Embedding 3 lines" in updates[0][0]
    progress, stop, flat_map, heat, shown = updates[-1]
    assert "dimensions" in progress
    assert stop["interactive"] is False
    assert (flat_map["lines"], heat["n"], shown) == (["a b", "c d", "e f"], 3, flat_map["of"])


async def test_searching_shown_lines_leaves_the_charts() -> None:
    page = explorer()
    lines = ["red apple", "steel hammer"]
    shown_lines = charts.fingerprint(lines)
    asked = ("\n".join(lines), "hammer", 5, False, shown_lines, TAB)
    updates = [update async for update in page.find(*asked)]
    assert "steel hammer" in updates[-1][0]
    assert not any(isinstance(update[3], dict) and "lines" in update[3] for update in updates)


async def test_an_error_puts_the_page_at_rest_first() -> None:
    fake = FakeEmbeddings()
    fake.down = StageBusy("embeddings", "Too many <b>callers</b>.", "Try again.", 1)
    updates = explorer(embeddings=fake).show("a", TAB)
    await anext(updates)
    at_rest = await anext(updates)
    assert at_rest[1]["interactive"] is False
    with pytest.raises(gr.Error, match="&lt;b&gt;"):
        await anext(updates)


@pytest.mark.parametrize("leave", ["close", "stop"])
async def test_leaving_stops_with_the_piece_under_way(leave: str) -> None:
    fake = GatedEmbeddings()
    page = explorer(embeddings=fake)
    updates = page.show("\n".join(f"line {i}" for i in range(5000)), TAB)
    while not fake.requests:
        await anext(updates)
    if leave == "stop":
        await page.stop(TAB)
        last = [update async for update in updates][-1]
        assert "Stopped" in last[0]
        assert last[1]["interactive"] is False
    await updates.aclose()
    fake.gate.set()
    assert len(fake.requests) == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_have_lines_and_a_query(name: str) -> None:
    text, query = example(name)()
    assert len(split(text)) > 20
    assert query


# ---- endpoints -------------------------------------------------------------------------------------


def test_endpoints_work_from_the_client() -> None:
    with served(fake_clients(), "embeddings") as address:
        client = Client(f"{address}/ui/embeddings/", verbose=False, analytics_enabled=False)
        matrix = client.predict(lines=["red apple", "", "red apple"], api_name="/similarity")
        assert matrix[0][2] == matrix[1][1] == 1
        assert len(matrix) == len(matrix[0]) == 3
        hits = client.predict(lines=["", "steel saw", "red apple"], query="apple", k=1, api_name="/search")
        assert [(hit["index"], hit["text"]) for hit in hits] == [(2, "red apple")]
        hits = client.predict(lines=["red apple"], query="apple", k=5, rerank=True, api_name="/search")
        assert hits[0]["score"] == 1
        for wrong in ({"lines": []}, {"lines": ["x"] * 1001}):
            with pytest.raises(AppError, match="lines"):
                client.predict(**wrong, api_name="/similarity")
        with pytest.raises(AppError, match="no query"):
            client.predict(lines=["x"], query=" ", api_name="/search")


# ---- the page in a browser -------------------------------------------------------------------------


def put(page: Page, text: str) -> None:
    """What a paste does, at once: typing ten thousand lines takes the browser minutes."""
    page.locator("#ray-lines textarea").evaluate(
        "(box, text) => { box.value = text; box.dispatchEvent(new Event('input', {bubbles: true})) }", text
    )


def opened(page: Page, address: str) -> None:
    page.goto(f"{address}/ui/embeddings/")
    page.get_by_role("tab", name="Lines").click()
    expect(page.get_by_text("Nothing to see yet.")).to_be_visible()


def show(page: Page, text: str, caption: str) -> None:
    put(page, text)
    page.get_by_role("button", name="Show the map").click()
    expect(page.locator(".ray-map-caption")).to_contain_text(caption)


@pytest.fixture
def requests_elsewhere(page: Page) -> Callable[[str], list[str]]:
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    return lambda address: [url for url in urls if not url.startswith((address, "data:", "blob:"))]


def test_an_example_in_the_browser(page: Page, requests_elsewhere: Callable[[str], list[str]]) -> None:
    with served(fake_clients(), "embeddings") as address:
        opened(page, address)
        page.get_by_role("button", name="Words").click()
        expect(page.locator(".ray-map-caption")).to_contain_text("48 lines")
        expect(page.locator(".ray-hits li")).to_have_count(10)
        expect(page.get_by_text("Most alike")).to_be_visible()
        page.get_by_label("Rerank").check()
        expect(page.locator(".ray-hit-score").first).to_be_visible()
        page.get_by_text("As a table").click()
        expect(page.locator(".ray-heat-table td")).to_have_count(48 * 48)
        assert requests_elsewhere(address) == []


def test_pointing_tells_the_line_by_mouse_and_keyboard(page: Page) -> None:
    with served(fake_clients(), "embeddings") as address:
        opened(page, address)
        show(page, "red apple\nred apple\nsteel hammer\n\u0645\u0631\u062d\u0628\u0627", "4 lines")
        page.locator(".ray-map canvas").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".ray-map .ray-tip")).to_be_visible()
        expect(page.locator(".ray-map [aria-live]")).to_contain_text("line")
        page.locator(".ray-heat canvas").hover()
        expect(page.locator(".ray-heat .ray-tip")).to_be_visible()
        page.get_by_role("button", name="As pasted").click()
        page.locator(".ray-heat canvas").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".ray-heat [aria-live]")).to_contain_text("1.00, red apple, red apple")


def test_stop_ends_its_own_work_alone(page: Page) -> None:
    """What else the tab asked for still arrives: here the file to download."""
    fake = GatedEmbeddings()
    with served(fake_clients(embeddings=fake), "embeddings") as address:
        opened(page, address)
        page.get_by_text("Download", exact=True).first.click()
        put(page, "three\nfour")
        page.get_by_role("button", name="Download", exact=True).last.click()
        page.wait_for_function("true")
        put(page, "five\nsix")
        page.get_by_role("button", name="Show the map").click()
        stop = page.get_by_role("button", name="Stop").first
        expect(stop).to_be_enabled()
        stop.click()
        expect(page.get_by_text("Stopped. What was embedded so far is kept")).to_be_visible()
        expect(stop).to_be_disabled()
        with page.expect_download() as download:
            fake.gate.set()
        assert download.value.suggested_filename == "vectors.csv"


def test_hostile_lines_stay_text(page: Page) -> None:
    with served(fake_clients(), "embeddings") as address:
        opened(page, address)
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        hostile = "<img src=x onerror=alert(1)>"
        show(page, f"{hostile}\n{hostile}\nother words", "3 lines")
        page.locator("#ray-query textarea").fill(hostile)
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".ray-hits li")).to_have_count(3)
        page.get_by_text("As a table").click()
        page.locator(".ray-heat canvas").hover()
        assert page.locator("img[src='x']").count() == 0


def test_errors_are_shown_and_one_line_is_enough(page: Page) -> None:
    with served(fake_clients(), "embeddings") as address:
        opened(page, address)
        page.get_by_role("button", name="Show the map").click()
        expect(page.get_by_text("There are no lines yet.")).to_be_visible()
        show(page, "only one line", "1 line.")
        expect(page.get_by_text("nothing to be compared with")).to_be_visible()
        put(page, "x" * (MAX_CHARACTERS + 5))
        page.get_by_role("button", name="Show the map").click()
        expect(page.get_by_text("more than 4,000,000 characters")).to_be_visible()


def test_ten_thousand_lines_and_a_download_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    with served(fake_clients(), "embeddings") as address:
        opened(page, address)
        show(page, "\n".join(f"word{i % 97} word{i % 89}" for i in range(10_000)), "10,000 lines")
        expect(page.locator(".ray-heat figcaption")).to_contain_text("100 most typical of 10,000")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        put(page, "one\ntwo")
        page.get_by_text("Download", exact=True).first.click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download", exact=True).last.click()
        assert download.value.suggested_filename == "vectors.csv"


async def test_one_string_of_lines_is_taken_apart() -> None:
    """A string is a sequence of letters too, and their similarity would be answered without a word."""
    clients = fake_clients()
    matrix = await similarity(LineVectors(clients.embeddings))("a cat\na dog")
    assert len(matrix) == 2
