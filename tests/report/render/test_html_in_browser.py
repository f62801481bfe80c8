"""The page as people meet it: headless Chromium, a desk and a phone, mouse and keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_study import RUNS, FakeRun, add_map, make_study
from page_browser import NEEDS, SIZES, opened, wait

from headstart.report.read.summary import Summary, load_summary, total_seconds
from headstart.report.render.html import write_html

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install selenium")
pytestmark = NEEDS


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """The folder of a made-up study, or the real one that $HEADSTART_STUDY names."""
    return Path(os.environ.get("HEADSTART_STUDY") or request.getfixturevalue("large_study"))


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_html(folder, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def summary(folder: Path) -> Summary:
    """What the page must show."""
    return load_summary(folder)


@pytest.fixture(scope="module", params=list(SIZES))
def browser(request: pytest.FixtureRequest, page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser of each size with the page open; afterwards: no error was logged, nothing was fetched."""
    with opened(page, SIZES[request.param], tmp_path_factory, "SEVERE", "WARNING") as driver:
        yield driver


def all_of(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def one(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def drawn(browser: Any, selector: str, words: str) -> bool:
    """Wait until an element that is drawn anew says some words; it may be gone for a moment."""
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    gone = (NoSuchElementException, StaleElementReferenceException)
    return bool(WebDriverWait(browser, 5, 0.05, gone).until(lambda page: words in one(page, selector).text))


def click(browser: Any, element: Any) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def hover(browser: Any, element: Any, x: int = 0, y: int = 0) -> str:
    """Point at a place off the middle of an element; return what the tooltip says, or ""."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    ActionChains(browser).move_to_element_with_offset(element, x, y).perform()
    shown = all_of(browser, ".tooltip.shown")
    return str(shown[0].text) if shown else ""


def names(browser: Any) -> list[str]:
    return [str(e.get_attribute("data-row")) for e in all_of(browser, "#ranking tbody tr")]


def test_every_section_is_drawn(browser: Any) -> None:
    assert one(browser, "html").get_attribute("data-ready") == "true"
    empty = browser.execute_script(
        "return [...document.querySelectorAll('[data-draw]')].filter((e) => !e.childElementCount)"
        ".map((e) => e.parentElement.id)"
    )
    assert empty == []
    shown = {str(e.get_attribute("id")) for e in all_of(browser, "main section")}
    assert shown >= {"ranking", "cost", "pairs", "classes", "mistakes", "calibration", "data"}


def test_the_page_is_no_wider_than_the_screen(browser: Any) -> None:
    wide, screen = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= screen


def test_the_answer_stands_on_the_first_screen(browser: Any, summary: Summary) -> None:
    top = browser.execute_script("return document.querySelector('.answer').getBoundingClientRect().top + scrollY")
    assert top < 400
    assert summary.ranking()[0]["run"] in one(browser, ".answer").text


def test_a_column_sorts_both_ways(browser: Any, summary: Summary) -> None:
    if browser.phone:
        pytest.skip("the ranking has no column heads on a phone")
    before = names(browser)
    head = next(e for e in all_of(browser, "#ranking thead th button") if e.text.startswith("To get"))
    click(browser, head)
    seconds = [total_seconds(summary.run(name).cost) for name in names(browser)]
    assert seconds == sorted(seconds, reverse=True)
    click(browser, head)
    assert [total_seconds(summary.run(name).cost) for name in names(browser)] == sorted(seconds)
    click(browser, next(e for e in all_of(browser, "#ranking thead th button") if e.text.startswith("#")))
    click(browser, next(e for e in all_of(browser, "#ranking thead th button") if e.text.startswith("#")))
    assert names(browser) == before


def test_classes_sort(browser: Any) -> None:
    if browser.phone:
        pytest.skip("on a phone the rows are folded, without column heads")
    head = next(e for e in all_of(browser, "#classes table.classes thead button") if e.text.startswith("Class"))
    click(browser, head)
    shown = [e.text for e in all_of(browser, "#classes table.classes tbody th")]
    assert len(shown) > 1 and shown == sorted(shown, key=str.casefold)


def test_a_filter_leaves_what_matches(browser: Any) -> None:
    before = names(browser)
    word = max(before, key=len)
    field = one(browser, "#ranking input[type=search]")
    click(browser, field)
    field.send_keys(word)
    assert names(browser) == [word]
    assert f"1 of {len(before)}" in one(browser, "#ranking .count").text
    browser.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", field)
    assert names(browser) == before


def test_pointing_at_an_interval_shows_its_figures(browser: Any, summary: Summary) -> None:
    text = hover(browser, one(browser, "#ranking tbody tr .track-cell"))
    assert "95 % interval" in text
    assert ("against baseline" in text) == (summary.boards[0].baseline is not None)


def test_pointing_at_a_pair_says_whether_it_differs(browser: Any) -> None:
    text = hover(browser, one(browser, "#pairs td.told"))
    assert "all pairs together" in text
    assert " is better than " in text or " is worse than " in text


def test_pointing_at_a_mark_names_its_run(browser: Any) -> None:
    mark = all_of(browser, "#cost svg .mark")[-1]
    assert "added to the study" in hover(browser, mark)


def test_dragging_zooms_and_the_button_goes_back(browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    if browser.phone:
        pytest.skip("a finger scrolls; it does not zoom a figure")
    image = one(browser, "#cost .plot svg")
    hover(browser, image)
    ticks = [e.text for e in all_of(browser, "#cost .tick")]
    ActionChains(browser).move_to_element_with_offset(image, -100, -60).click_and_hold().move_by_offset(
        220, 90
    ).release().perform()
    assert [e.text for e in all_of(browser, "#cost .tick")] != ticks
    click(browser, one(browser, "#cost .reset"))
    assert [e.text for e in all_of(browser, "#cost .tick")] == ticks


def test_a_run_can_be_hidden_in_the_legend(browser: Any) -> None:
    before = len(all_of(browser, "#cost svg .mark"))
    click(browser, one(browser, "#cost .legend button"))
    assert len(all_of(browser, "#cost svg .mark")) == before - 1
    click(browser, one(browser, "#cost .legend button"))


def test_another_cost_can_be_chosen(browser: Any) -> None:
    button = next(e for e in all_of(browser, "#cost .segmented button") if e.text == "Memory")
    click(browser, button)
    assert drawn(browser, "#cost .plot svg", "Peak memory")


def test_a_cell_of_the_matrix_shows_the_images_behind_it(browser: Any) -> None:
    click(browser, one(browser, "#classes .confused button"))
    pictures = all_of(browser, "dialog[open] .gallery img")
    assert pictures
    assert all(p.get_attribute("naturalWidth") != "0" for p in pictures)
    assert "classified as" in one(browser, "dialog[open] h3").text
    click(browser, one(browser, "dialog .close"))
    assert all_of(browser, "dialog[open]") == []


def test_a_click_on_the_canvas_opens_its_cell(browser: Any, summary: Summary) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = one(browser, "#classes canvas")
    side, classes = canvas.size["width"], len(next(iter(summary.datasets.values()))["classes"])
    place = -side // 2 + 6 + int((side - 8) * 0.5 / classes) + 1  # the first cell of the diagonal
    text = hover(browser, canvas, place, place)
    assert "images" in text
    ActionChains(browser).click().perform()
    assert "classified correctly" in one(browser, "dialog[open] h3").text
    click(browser, one(browser, "dialog .close"))


def test_mistakes_show_their_explanations_and_filter_by_class(browser: Any) -> None:
    assert all_of(browser, "#mistakes .mistake.explained .explanations img")
    field = one(browser, "#mistakes input[type=search]")
    everything = len(all_of(browser, "#mistakes .mistake"))
    field.send_keys("no such class")
    assert all_of(browser, "#mistakes .mistake") == []
    browser.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", field)
    assert len(all_of(browser, "#mistakes .mistake")) == everything


def test_a_table_saves_as_csv(browser: Any, summary: Summary) -> None:
    click(browser, next(e for e in all_of(browser, "#ranking .table-bar button") if e.text == "CSV"))
    saved = browser.downloads / "Leaderboard.csv"
    wait(browser, saved.is_file)
    lines = saved.read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == len(names(browser)) + 1
    assert lines[0].startswith("#,Run,accuracy,low,high")
    assert summary.ranking()[0]["run"] in lines[1]


def test_the_theme_changes_and_changes_back(browser: Any) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(colour)
    click(browser, one(browser, "#theme"))
    assert browser.execute_script(colour) != light
    click(browser, one(browser, "#theme"))
    assert browser.execute_script(colour) == light


def test_no_button_covers_a_plot(browser: Any) -> None:
    covered = browser.execute_script(
        "return [...document.querySelectorAll('.plot-bar button')].filter((button) => button.offsetParent &&"
        " button.getBoundingClientRect().bottom > button.closest('.plot-bar').nextElementSibling"
        ".querySelector('svg').getBoundingClientRect().top + 1).map((button) => button.title)"
    )
    shown = "return [...document.querySelectorAll('.plot-bar button')].filter((each) => each.offsetParent).length"
    assert browser.execute_script(shown) >= 2 and covered == []


def test_axes_of_shares_end_at_100_per_cent(browser: Any) -> None:
    at = "return [...document.querySelectorAll('#calibration .tick')].filter((e) => e.textContent === '100 %').map("
    place = "(e) => [+e.getAttribute('x'), +e.getAttribute('y')]).sort((a, b) => b[0] - a[0])"
    across, up = browser.execute_script(at + place)
    ends = one(browser, "#calibration .axis")
    assert across[0] == pytest.approx(float(str(ends.get_attribute("x2"))))  # the end of the frame
    assert up == [-8, 4]  # its upper edge: half a line lower than 0
    shown = browser.execute_script("return [...document.querySelectorAll('.plot .tick')].map((e) => e.textContent)")
    shares = [float(text.removesuffix(" %")) for text in shown if text.endswith(" %")]
    assert len(shares) > 10 and min(shares) == 0 and max(shares) == 100


def test_a_training_curve_has_a_dash_for_each_seed_and_the_legend_hides_one(browser: Any) -> None:
    lines = "#training .line.thin"
    before = all_of(browser, lines)
    assert len(before) == 6 and len({line.get_attribute("stroke-dasharray") for line in before}) == 3
    button = next(e for e in all_of(browser, "#training .legend button") if e.text == "seed 1")
    click(browser, button)
    assert len(all_of(browser, lines)) == 4
    click(browser, button)
    assert len(all_of(browser, lines)) == 6


def test_the_arrow_keys_reach_every_dot(browser: Any) -> None:
    for words in ("To get: time", "All"):
        click(browser, next(e for e in all_of(browser, "#cost .segmented button") if e.text == words))
    image = one(browser, "#cost .plot svg")
    seen = set()
    for _ in 2 * all_of(
        browser, "#cost svg .mark"
    ):  # the page scrolls there under the pointer, which may point at another
        image.send_keys("\ue014")  # the right arrow
        seen |= set(one(browser, ".tooltip.shown").text.splitlines())
    runs = {str(e.text) for e in all_of(browser, "#cost .legend button")}
    assert len(runs) == 8 and runs <= seen
    image.send_keys("\ue00c")  # Escape
    assert all_of(browser, ".tooltip.shown") == []
    click(browser, next(e for e in all_of(browser, "#cost .segmented button") if e.text == "Leaders"))


def test_a_mistake_is_enlarged_with_its_explanations_and_their_legend(browser: Any) -> None:
    mistake = one(browser, "#mistakes .mistake.explained")
    maps = len(mistake.find_elements("css selector", ".explanations img"))
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", mistake)
    mistake.send_keys(" ")
    shown = one(browser, "dialog[open].large .gallery").text
    assert "classified as" in shown and "on average · wrong in" in shown
    assert len(all_of(browser, "dialog[open] .gallery figure")) >= 1 + maps > 1
    assert "From violet to yellow" in one(browser, "dialog[open] p").text
    click(browser, one(browser, "dialog .close"))


@contextmanager
def on_paper(browser: Any) -> Iterator[None]:
    """Show the page as it is printed: A4 less its margins."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    size = {"width": 688, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    try:
        yield
    finally:
        browser.execute_script("dispatchEvent(new Event('afterprint'))")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        width, height, phone = SIZES["phone" if browser.phone else "desk"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_nothing_is_cut_off_on_paper(browser: Any) -> None:
    with on_paper(browser):
        wide = browser.execute_script(
            "return [...document.querySelectorAll('main *')]"
            ".filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > 690)"
            ".map((e) => `${e.getBoundingClientRect().right} ${e.tagName} ${e.textContent.slice(0, 20)}`)"
        )
        shut = browser.execute_script(
            "return [...document.querySelectorAll('.specs, .spec')].filter((e) => e.checkVisibility()).length"
        )
        rows = browser.execute_script(
            "return getComputedStyle(document.querySelector('#classes .more:not([hidden])'), '::after').content"
        )
    assert wide == []
    assert shut == 0 and "of 101 are shown" in rows  # what is shut says nothing on paper; what is left out is counted


@pytest.mark.parametrize("size", list(SIZES))
def test_bars_of_the_classes_have_their_names(
    size: str, study: Path, large_study: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(
        write_html(study, tmp_path_factory.mktemp("few") / "report.html"), SIZES[size], tmp_path_factory
    ) as few:
        names = [e.text for e in all_of(few, "#data .bars .bar-name")]
        counts = [e.text for e in all_of(few, "#data .bars .bar-count")]
        assert len(names) == 10 and "dolphin" in names and counts == ["120"] * 10
        assert "train\n80" in hover(few, all_of(few, "#data .bars li")[0])
    many = write_html(large_study, tmp_path_factory.mktemp("many") / "report.html")
    with opened(many, SIZES[size], tmp_path_factory) as page:
        turned = len(all_of(page, "#data .plot svg text[transform*=rotate]"))
        assert turned == (0 if page.phone else 101)  # on a phone there is no room for 101 names


@pytest.mark.parametrize("size", list(SIZES))
def test_every_name_in_the_cost_chart_can_be_read_though_scores_and_costs_are_equal(
    size: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    equal = [FakeRun(f"head number {k}", 5.4 + k / 100, "ridge", seconds=1.0) for k in range(4)]
    place = make_study(tmp_path_factory.mktemp("equal"), [RUNS[0], *equal], classes=8, per_class=30, seeds=1, draws=10)
    page = write_html(place, tmp_path_factory.mktemp("page") / "report.html")
    with opened(page, SIZES[size], tmp_path_factory, "SEVERE", "WARNING") as driver:
        wait(driver, lambda: all_of(driver, "#cost .mark-label"))
        boxes = driver.execute_script(
            "return [...document.querySelectorAll('#cost .mark-label')].map((e) => [e.textContent,"
            " ...['left', 'top', 'right', 'bottom'].map((side) => e.getBoundingClientRect()[side])])"
        )
        assert sorted(name for name, *_ in boxes) == sorted(["raw pixels", *(run.name for run in equal)])
        for k, (name, left, top, right, bottom) in enumerate(boxes):
            for other, left2, top2, right2, bottom2 in boxes[:k]:
                apart = left >= right2 or left2 >= right or top + 1 >= bottom2 or top2 + 1 >= bottom
                assert apart, (name, other)
        assert all(left >= 0 and right <= SIZES[size][0] for _, left, _, right, _ in boxes)


def test_on_paper_the_dots_of_the_leaderboard_are_round_in_a_wide_column(browser: Any) -> None:
    with on_paper(browser):
        tracks = browser.execute_script(
            "return [...document.querySelectorAll('#ranking .track')].map((e) => e.getBoundingClientRect().width)"
        )
        dots = browser.execute_script(
            "return [...document.querySelectorAll('#ranking .track > .dot')].map((e) => e.getBBox())"
            ".map((b) => [b.width, b.height])"
        )
        hidden = browser.execute_script(
            "return [...document.querySelectorAll('.screen, .legend button[aria-pressed=false]')]"
            ".filter((e) => e.checkVisibility()).length"
        )
    assert len(tracks) == len(names(browser)) and min(tracks) > 160
    assert dots and all(width == pytest.approx(height) == pytest.approx(9.2, abs=0.1) for width, height in dots)
    assert hidden == 0  # what only a screen can do, and runs that are not drawn


def test_what_was_chosen_in_many_folds_is_summed_up(browser: Any) -> None:
    script = "return chosenIn(arguments[0])"
    folds = [{"k": 5, "metric": "cosine" if k % 3 else "euclidean", "penalty": 10.0**-k} for k in range(6)]
    assert browser.execute_script(script, folds) == ("k 5, metric cosine (4×) or euclidean (2×), penalty 0.00001 to 1")
    assert browser.execute_script(script, [{"penalty": 0.1}, {"penalty": 1.0}, {"penalty": 0.1}]) == (
        "penalty 0.1 (2×) or 1 (1×)"
    )
    assert browser.execute_script(script, []) == ""


def test_it_prints_and_is_then_as_it_was(browser: Any) -> None:
    theme = one(browser, "html").get_attribute("data-theme")
    document = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(document["data"]) > 50_000
    assert one(browser, "html").get_attribute("data-theme") == theme


@pytest.mark.parametrize("size", list(SIZES))
def test_the_map_is_drawn_and_a_key_names_the_image_in_its_middle(
    size: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = make_study(tmp_path_factory.mktemp("mapped"), RUNS[3:5], classes=8, per_class=30, seeds=1, draws=10)
    add_map(place, RUNS[4].name)
    page = write_html(place, tmp_path_factory.mktemp("page") / "report.html")
    with opened(page, SIZES[size], tmp_path_factory, "SEVERE") as driver:  # drawing in software is warned of
        stage = one(driver, "#map .map-stage")
        assert one(driver, "#map .map").get_attribute("data-drawing") in ("WebGL2", "canvas")
        click(driver, stage)
        stage.send_keys("\n")
        assert ".jpg" in drawn_text(driver, "#map .map-said") or "class: " in drawn_text(driver, "#map .map-said")
        legend = all_of(driver, "#map .map-list button")
        assert len(legend) == 8 and legend[0].get_attribute("aria-pressed") == "true"
        click(driver, legend[0])
        assert all_of(driver, "#map .map-list button")[0].get_attribute("aria-pressed") == "false"
        click(driver, one(driver, "#map details.map-table summary"))
        assert len(all_of(driver, "#map .map-table tbody tr")) == 8
        assert driver.execute_script("return document.documentElement.scrollWidth") <= SIZES[size][0]


def drawn_text(browser: Any, selector: str) -> str:
    return str(one(browser, selector).text)
