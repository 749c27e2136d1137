"""The report in a real browser: nothing is said on its console, nothing is loaded, everybody can read it."""

import pytest
from support import batches
from support.batches import TODAY
from support.browser import axe_source, chromium, served
from support.oddities import odd_outcomes

from kallglot_async.models import Outcomes

pytestmark = pytest.mark.slow

BATCHES = {
    "empty": list,
    "one": lambda: batches.outcomes(1),
    "thousand": lambda: batches.outcomes(1000, days=20),
    "mixed": lambda: batches.outcomes(200, days=3, revisions="ab"),
    "failed": lambda: [outcome for outcome in batches.outcomes(2000) if not outcome.ok],
    "odd": odd_outcomes,
}
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site():
    pages = {f"/{name}": Outcomes(make()).to_html(title=f"Batch {name}", today=TODAY) for name, make in BATCHES.items()}
    with served(pages) as (address, asked):
        yield address, asked


@pytest.fixture
def opened(browser, site):
    """Open a page of a batch; give it, and what its console said."""
    address, asked = site
    asked.clear()
    pages = []

    def open_page(name, *, width=1200, theme="light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
        pages.append(page)
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{address}/{name}")
        return page, said

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("theme", THEMES)
def test_nothing_is_said_and_nothing_is_loaded(opened, site, name, theme):
    """One request, for the page itself, and a console without a word: the policy forbids nothing that is there."""
    page, said = opened(name, theme=theme)
    page.wait_for_load_state("networkidle")
    assert site[1] == [f"/{name}"]
    assert said == []


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("width", [390, 800, 1200])
def test_nobody_has_to_scroll_sideways(opened, name, width):
    """On a phone, a tablet and a desk, with everything unfolded; and no element is wider than the page."""
    page, _ = opened(name, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "width => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > width + 1)"
        ".map(e => e.outerHTML.slice(0, 80))",
        width,
    )
    assert wide == []


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("theme", THEMES)
def test_everybody_can_read_it(opened, name, theme):
    """axe-core finds nothing, in either theme, with everything unfolded."""
    page, _ = opened(name, theme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    page.evaluate(axe_source())  # by the debugger's hand, as the page's policy lets in no script
    found = page.evaluate("axe.run(document)")
    assert len(found["passes"]) > 10
    assert [(each["id"], [node["html"][:100] for node in each["nodes"][:3]]) for each in found["violations"]] == []


def test_no_word_of_a_chart_lies_outside_of_it_or_over_another(opened):
    """Ticks and counts are whole and apart, on a phone and at a desk."""
    for width in (390, 1200):
        page, _ = opened("thousand", width=width)
        bad = page.evaluate(
            """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
                const frame = chart.getBoundingClientRect();
                const words = [...chart.querySelectorAll('text')].map(word => word.getBoundingClientRect());
                const out = words.filter(w => w.left < frame.left - 1 || w.right > frame.right + 1
                    || w.top < frame.top - 1 || w.bottom > frame.bottom + 1);
                const over = words.filter((a, n) => words.some((b, m) => m > n && a.left < b.right && b.left < a.right
                    && a.top < b.bottom && b.top < a.bottom));
                return [...out, ...over].map(w => `${chart.getAttribute('aria-label')} at ${w.left}, ${w.top}`);
            })"""
        )
        assert bad == []


def test_hostile_text_is_inert(opened):
    """Whatever a server sends is read as text: no element, no script and no address comes of it."""
    page, said = opened("odd")
    assert page.title() == "Batch odd"
    assert page.evaluate("document.querySelectorAll('script, img, [onerror], [style]').length") == 0
    assert page.evaluate("[...document.links].every(link => link.getAttribute('href').startsWith('#'))")
    assert "<script>document.title='owned'</script>" in page.inner_text("main")
    assert said == []


def test_a_link_leads_to_the_row_of_its_call(opened):
    """Also where the row is folded: the browser unfolds what an address points into."""
    page, _ = opened("thousand")
    link = page.locator("ol a").first
    link.click()
    row = page.locator(":target")
    assert row.is_visible()
    assert row.locator("th").inner_text() == link.inner_text()


def test_the_dark_page_is_dark_and_paper_is_white(opened):
    """The theme follows the reader's, and a printer is spared the dark."""
    background = "getComputedStyle(document.body).backgroundColor"
    page, _ = opened("one", theme="dark")
    red = int(page.evaluate(background).removeprefix("rgb(").split(",")[0])
    assert red < 50
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
