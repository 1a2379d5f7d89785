"""The built book in a real browser, as a reader on a phone has it; `make pages` runs this."""

import functools
import http.server
import shutil
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "_build" / "html"
GENERATED = {"genindex.html", "search.html", "index.html", "py-modindex.html"}
PAGES = sorted(
    path.relative_to(BOOK).as_posix()
    for path in BOOK.rglob("*.html")
    if "_static" not in path.parts and path.name not in GENERATED
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# A browser's own errands would look like requests of the page.
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: install chromium to test the pages"),
    pytest.mark.skipif(not PAGES, reason="the book is not built; run `make pages`"),
]

# Elements that stick out of the page and are in no frame that scrolls.
STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (e) => ['auto', 'scroll', 'hidden'].includes(getComputedStyle(e).overflowX);
  const framed = (e) => e && e !== document.body && (scrolls(e) || framed(e.parentElement));
  return [...document.querySelectorAll('.bd-article *')]
    .filter((e) => e.getBoundingClientRect().width && e.getBoundingClientRect().right > width + 1)
    .filter((e) => !framed(e))
    .map((e) => `${e.tagName}: ${e.textContent.trim().slice(0, 60)}`);
}"""
TYPESET = "() => !document.querySelector('.math') || (window.MathJax?.startup?.promise)"
# Pictures whose sides are not shown in their own ratio; a slider hides all its frames but one.
SQUEEZED = """() => [...document.querySelectorAll('.bd-article img')]
  .filter((i) => i.offsetWidth)
  .filter((i) => Math.abs(i.width * i.naturalHeight / i.height / i.naturalWidth - 1) > 0.03)
  .map((i) => `${i.alt.slice(0, 60)}: ${i.width} x ${i.height}`)"""
FORMULAS = """() => [...document.querySelectorAll('div.math, div.math > *')]
  .filter((e) => e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.id || e.textContent.slice(0, 60))"""


@pytest.fixture(scope="module")
def address():
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=BOOK)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """A function that opens a page: (the page, what it complained of, what it asked others for)."""
    opened = []

    def open_page(name, width=390, **options):
        page = browser.new_page(viewport={"width": width, "height": 844}, **options)
        opened.append(page)
        errors, requests = [], []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(address + name, wait_until="load")
        page.wait_for_function(TYPESET)
        outside = [u for u in requests if not u.startswith((address, "data:", "blob:"))]
        return page, errors, outside

    yield open_page
    for page in opened:
        page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_on_a_phone(visit, name):
    page, errors, outside = visit(name)
    assert outside == [], "the book reads without a network"
    assert errors == []
    assert page.evaluate(STICKING_OUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    images = page.evaluate(
        "[...document.querySelectorAll('.bd-article img')].map((i) => [i.alt, i.naturalWidth])"
    )
    assert all(len(alt) > 9 and width > 0 for alt, width in images), images
    assert page.evaluate(SQUEEZED) == []
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container").count() >= formulas
    assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("chapters/")])
def test_no_formula_is_cut_where_the_screen_has_room(visit, name):
    page, _, _ = visit(name, width=1280)
    assert page.evaluate(FORMULAS) == []


def test_solutions_hints_and_truths_fold(visit):
    page, _, _ = visit("chapters/02_svd.html")
    solution = page.locator(".solution").first
    inside = solution.locator(".section p, section p, p").last
    assert not inside.is_visible()
    solution.locator("button, summary").first.click()
    inside.wait_for(state="visible", timeout=5000)
    truth = page.locator("details.hide", has_text="Show the truth").first
    assert truth.get_attribute("open") is None


def test_the_search_finds_a_word_of_a_chapter(visit):
    page, errors, outside = visit(f"search.html?q={quote('Eckart')}", width=1280)
    found = page.locator("#search-results a", has_text="singular value decomposition").first
    found.wait_for(timeout=20000)
    assert "02_svd" in found.get_attribute("href")
    assert (errors, outside) == ([], [])


def test_figures_stay_white_in_the_dark_without_a_frame(visit):
    page, _, _ = visit("chapters/02_svd.html", color_scheme="dark")
    style = page.evaluate(
        """() => {const s = getComputedStyle(document.querySelector('.cell_output img'));
           return [s.backgroundColor, s.filter];}"""
    )
    assert style == ["rgb(255, 255, 255)", "none"]
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_slider_turns_to_another_frame(visit):
    page, _, _ = visit("chapters/02_svd.html", color_scheme="dark")
    shown = page.locator("figure.slider img:visible")
    before = shown.get_attribute("alt")
    page.locator("figure.slider input").fill("0")
    assert shown.count() == 1
    assert before != shown.get_attribute("alt")
    assert page.locator("figure.slider output").text_content() == "1"
    ground = "(e) => getComputedStyle(e.closest('.text_html')).backgroundColor"
    assert page.locator("figure.slider").evaluate(ground) == "rgba(0, 0, 0, 0)"


def test_the_head_says_what_the_book_is(visit):
    page, _, _ = visit("intro.html")
    assert page.title().count("Small networks") == 1
    for name in ("description", "og:title", "og:image", "og:description"):
        tag = page.locator(f"meta[name='{name}'], meta[property='{name}']").first
        assert len(tag.get_attribute("content")) > 9, name
    assert page.locator("link[rel~='icon']").get_attribute("href").endswith(".svg")


def test_the_colab_button_opens_the_plain_copy(visit):
    page, _, _ = visit("chapters/02_svd.html", width=1280)
    link = page.locator("a[href*='colab.research.google.com']").first.get_attribute("href")
    assert link.endswith("/blob/colab/chapters/02_svd.ipynb")
