"""The gallery in headless Chromium, from file://: what a visitor does, with no error and no request leaving the page."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.show_command import show_shards
from tests.shards.showcase import EVIL, build_showcase

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install 'tap3d[dev]'")
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no chromium with chromedriver; on Debian: apt-get install chromium chromium-driver",
)

ENTER, ESCAPE, LEFT, RIGHT = "\ue007", "\ue00c", "\ue012", "\ue014"  # as WebDriver writes keys

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1300,1000",
]  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the three files of `tap show`."""
    folder = tmp_path_factory.mktemp("browser")
    show_shards(build_showcase(folder / "set"), folder / "show", None, 200, open_browser=False)
    return folder / "show"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER), env={**os.environ, "NO_PROXY": "*"}))
    yield driver
    driver.quit()


@pytest.fixture
def gallery(browser: Any, pages: Path) -> Iterator[Any]:
    """The gallery, freshly loaded. Afterwards there must be no message on the console and no request but for the file."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")
    address = (pages / "gallery.html").as_uri()
    browser.get(address)
    yield browser
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [
        message["params"]["request"]["url"] for message in messages if message["method"][8:] == "requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith("data:")] == [address]


def visible_cards(browser: Any) -> list[str]:
    """Keys of the cards that the filters leave."""
    script = "return [...document.querySelectorAll('.card')].filter(c => c.offsetParent).map(c => c.title)"
    return list(browser.execute_script(script))


def choose(browser: Any, name: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    select = Select(browser.find_element("id", name))
    values = [option.get_attribute("value") for option in select.options]
    select.select_by_index(values.index(value))  # by value would make a selector, which odd names break


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def wait(browser: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 20, 0.05).until(lambda one: one.execute_script(f"return {script}"))


def open_sample(browser: Any, key: str) -> None:
    browser.find_element("css selector", f".card[title='{key}']").click()
    wait(browser, "document.getElementById('detail').open && document.getElementById('cloud').width > 300")


def text(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).text)


def test_filters(gallery: Any) -> None:
    assert len(visible_cards(gallery)) == 39
    choose(gallery, "category", "=chair")
    assert len(visible_cards(gallery)) == 10
    assert text(gallery, "count") == "10 of 39 samples"
    choose(gallery, "flag", "=small_silhouette")
    assert sorted(visible_cards(gallery)) == ["thing_05", "thing_09"]
    choose(gallery, "category", f"={EVIL}")
    assert visible_cards(gallery) == []
    gallery.find_element("id", "clear").click()
    assert len(visible_cards(gallery)) == 39
    choose(gallery, "split", "=test")
    assert len(visible_cards(gallery)) == 4
    choose(gallery, "split", "")
    gallery.find_element("id", "text").send_keys("THING_0 lamp")
    assert sorted(visible_cards(gallery)) == ["thing_03", "thing_07"]
    assert gallery.execute_script("return window.evil") is None


def test_pictures_appear_when_scrolled_into_view(gallery: Any) -> None:
    filled = "[...document.querySelectorAll('.card')].filter(c => c.querySelector('img,canvas')).length"
    wait(gallery, f"{filled} > 4")
    gallery.set_window_size(500, 500)
    gallery.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    wait(gallery, "[...document.querySelectorAll('.card')].at(-1).querySelector('img')?.naturalWidth == 32")
    gallery.set_window_size(1300, 1000)


def test_points_turn_with_the_mouse(gallery: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    open_sample(gallery, "thing_09")
    gallery.find_element("id", "spin").click()  # hold still
    snap = "document.getElementById('cloud').toDataURL()"
    wait(gallery, "detail.cloudView.frame === 0")
    first = gallery.execute_script(f"return {snap}")
    assert gallery.execute_script(f"return {snap}") == first
    canvas = gallery.find_element("id", "cloud")
    ActionChains(gallery).click_and_hold(canvas).move_by_offset(90, 20).release().perform()
    wait(gallery, f"detail.cloudView.frame === 0 && {snap} !== {json.dumps(first)}")
    turned = gallery.execute_script("return detail.cloudView.pose")
    assert turned["azimuth"] < 0.7 - 0.5  # the front follows the mouse to the right
    assert turned["elevation"] > 0.42
    ActionChains(gallery).scroll_by_amount(0, 0).move_to_element(canvas).perform()
    zoom = "detail.cloudView.pose.zoom"
    press(gallery, "+")
    assert gallery.execute_script(f"return {zoom}") > 1
    before = gallery.execute_script(f"return {snap}")
    layer = gallery.find_elements("css selector", "#layers button")
    assert [button.text for button in layer] == ["Colours", "Parts", "Shape"]
    layer[1].click()
    wait(gallery, f"detail.cloudView.frame === 0 && {snap} !== {json.dumps(before)}")
    press(gallery, ESCAPE)


def test_one_sample_and_the_keyboard(gallery: Any) -> None:
    choose(gallery, "category", "=chair")
    order = visible_cards(gallery)
    gallery.find_element("css selector", f".card[title='{order[0]}']").send_keys(ENTER)
    wait(gallery, "document.getElementById('detail').open")
    assert text(gallery, "detail-key") == order[0]
    press(gallery, RIGHT)
    assert text(gallery, "detail-key") == order[1]
    assert text(gallery, "detail-place") == "2 of 10"
    press(gallery, LEFT)
    press(gallery, LEFT)  # at the first it stays
    assert text(gallery, "detail-key") == order[0]
    assert gallery.execute_script("return location.hash") == f"#{order[0]}"
    press(gallery, ESCAPE)
    wait(gallery, "!document.getElementById('detail').open")
    assert gallery.execute_script("return document.activeElement.title") == order[0]


def test_views_of_a_sample(gallery: Any) -> None:
    open_sample(gallery, "thing_09")
    assert text(gallery, "view-title") == "View 1 of 2"
    big = "document.getElementById('big')"
    wait(gallery, f"{big}.complete && {big}.naturalWidth === 32")
    first = gallery.execute_script(f"return {big}.src")
    gallery.find_elements("css selector", "#strip button")[1].click()
    assert text(gallery, "view-title") == "View 2 of 2"
    assert gallery.execute_script(f"return {big}.src") != first
    kinds = gallery.find_elements("css selector", "#kinds button")
    assert [button.text for button in kinds] == ["Views", "Depth", "Normals"]
    kinds[1].click()
    wait(gallery, f"{big}.complete && {big}.src.startsWith('data:image/webp') && {big}.naturalWidth === 32")
    gallery.find_element("css selector", "#detail [data-paper=checker]").click()
    assert gallery.execute_script("return document.documentElement.dataset.paper") == "checker"
    assert "0.01" in text(gallery, "facts")  # what was measured
    press(gallery, ESCAPE)


def test_sample_without_views(gallery: Any) -> None:
    choose(gallery, "category", "=cloud")
    open_sample(gallery, "thing_02")
    assert not gallery.find_element("id", "views-pane").is_displayed()
    assert text(gallery, "hint").startswith("2,048 of 3,000 points.")
    press(gallery, ESCAPE)


def test_page_about_quality(browser: Any, pages: Path) -> None:
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get((pages / "quality.html").as_uri())
    images = "[...document.images]"
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    wait(browser, f"{images}.length === 8 && {images}.every(i => i.complete && i.naturalWidth > 0)")
    assert browser.execute_script("return document.querySelectorAll('tbody script, i, u').length") == 0
    assert browser.get_log("browser") == []
