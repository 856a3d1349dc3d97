"""The HTML report in a real browser: filters, keyboard, phone, print, and hostile text. REPORT_SHOTS=folder keeps pictures."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from pipeline.report import render
from tests.report_demo import alerts, figures, hostile, many
from tests.report_stories import long_path, long_timeline, stories

pytestmark = pytest.mark.browser

FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync "
    "hide-scrollbars"
)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[webdriver.Chrome]:
    driver = shutil.which("chromedriver")
    if not driver:
        pytest.skip("no chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tempfile.mkdtemp()
    for flag in [*FLAGS.split(), f"user-data-dir={profile}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()
    shutil.rmtree(profile, ignore_errors=True)


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """What the browser logged since the last look."""
    return list(browser.get_log(kind))  # type: ignore[no-untyped-call]


class Report:
    """The page as a user handles it."""

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser = browser
        self.look(1440, 900)
        browser.get("about:blank")
        log(browser, "browser")
        log(browser, "performance")
        browser.get(path.as_uri())

    def look(self, width: int, height: int, scheme: str = "light") -> None:
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def js(self, expression: str) -> Any:
        return self.browser.execute_script(f"return {expression}")

    def one(self, css: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, css)

    @property
    def titles(self) -> list[str]:
        return list(self.js("[...document.querySelectorAll('#list .title')].map(e => e.textContent)"))

    def until_shown(self, start: str) -> None:
        try:
            WebDriverWait(self.browser, 10).until(lambda _: self.one("#shown").text.startswith(start))
        except TimeoutException:
            pytest.fail(f"{start!r} was expected, {self.one('#shown').text!r} is shown")

    def select(self, name: str, text: str) -> None:
        Select(self.one(f"select[name={name}]")).select_by_visible_text(text)

    def quiet(self) -> None:
        """No console message, and nothing asked of any server."""
        assert log(self.browser, "browser") == []
        asked = [entry["message"] for entry in log(self.browser, "performance") if '"Network.requestWillBeSent"' in entry["message"]]
        assert not [message for message in asked if '"url":"http' in message]

    def shot(self, name: str) -> None:
        if folder := os.environ.get("REPORT_SHOTS"):
            data = self.browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))


@pytest.fixture
def report(browser: webdriver.Chrome, tmp_path: Path) -> Report:
    return Report(browser, render(alerts(), figures(), tmp_path / "report.html"))


def test_filters_narrow_the_list_and_clear_restores_it(report: Report) -> None:
    report.until_shown("17 alerts")
    report.one("#search").send_keys("Hypercall DENIED")
    report.until_shown("1 of 17 alerts")
    assert report.titles == ["Guest used a denied hypercall"]
    report.one("button[type=reset]").click()
    report.until_shown("17 alerts")
    report.one("input[value=medium]").click()
    report.until_shown("9 of 17 alerts")
    report.select("threat", "hardening")
    report.until_shown("1 of 17 alerts")
    report.one("button[type=reset]").click()
    report.select("host", "kvm-fra-02")
    report.until_shown("2 of 17 alerts")
    report.select("source", "aws.cloudtrail")
    report.until_shown("0 of 17 alerts. Clear the filters")
    report.quiet()


def test_search_finds_techniques_of_both_generations_and_words_of_log_lines(report: Report) -> None:
    for words, count in (("T1685.004", 1), ("t1562.012", 1), ("--no-sig-check", 1), ("203.0.113.40", 9), ("escape to host", 2)):
        report.one("#search").clear()
        report.one("#search").send_keys(words)
        report.until_shown(f"{count} of 17 alerts")


def test_an_alert_opens_with_evidence_and_steps(report: Report) -> None:
    report.one("#list summary").click()
    opened = report.one("#list details[open]")
    for text in (
        "What now",
        "Isolate the host's",
        "Harmless if",
        "Evidence (10 of 14 records)",
        "--world-id=2099811",
        "at byte",
    ):
        assert text in opened.text
    report.shot("open")
    report.look(1440, 900, "dark")
    report.shot("open_dark")
    report.quiet()


def test_a_link_on_the_first_screen_opens_its_alert_even_when_filtered_out(report: Report) -> None:
    report.one("#search").send_keys("metadata")
    report.until_shown("1 of 17")
    report.one(".first h3 a").click()
    WebDriverWait(report.browser, 10).until(lambda _: report.js("document.querySelectorAll('#list details[open]').length") == 1)
    assert report.one("#list details[open] .title").text == "Virtual machines killed from the ESXi shell"
    report.until_shown("17 alerts")


def test_matrix_machines_and_timeline_lead_to_alerts(report: Report) -> None:
    report.one("#attack a[data-search='T1611']").click()
    report.until_shown("2 of 17 alerts")
    report.one(".touched a[data-search='mkay']").click()
    report.until_shown("1 of 17 alerts")
    report.browser.execute_script("document.querySelector('.dot.informational').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    WebDriverWait(report.browser, 10).until(lambda _: report.js("document.querySelectorAll('#list details[open]').length") == 1)
    assert report.one("#list details[open] .title").text == "VM cloned outside the naming plan"


def test_the_matrix_has_two_generations(report: Report) -> None:
    newer, older = (report.one(f"#attack .matrix.v{generation}") for generation in (19, 18))
    assert newer.is_displayed() and not older.is_displayed()
    report.one("label[for='v18']").click()
    assert older.is_displayed() and not newer.is_displayed()
    report.one("#attack .v18 a[data-search='T1562.012']").click()
    report.until_shown("1 of 17 alerts")


def test_order_by_time(report: Report) -> None:
    report.select("order", "newest first")
    WebDriverWait(report.browser, 10).until(lambda _: report.titles[0] == "VM cloned outside the naming plan")
    report.select("order", "oldest first")
    WebDriverWait(report.browser, 10).until(lambda _: report.titles[-1] == "VM cloned outside the naming plan")


def test_keyboard_alone_opens_an_alert(report: Report) -> None:
    body = report.one("body")
    body.send_keys(Keys.TAB)
    assert report.js("document.activeElement.textContent") == "Skip to the alerts"
    for _ in range(60):
        if report.js("document.activeElement.tagName") == "SUMMARY":
            break
        report.browser.switch_to.active_element.send_keys(Keys.TAB)
    report.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert report.js("document.querySelectorAll('#list details[open]').length") == 1


def test_readable_on_a_phone_in_both_schemes(report: Report) -> None:
    for scheme in ("light", "dark"):
        report.look(390, 844, scheme)
        assert report.js("document.documentElement.scrollWidth") <= 390, "nothing sticks out"
        assert report.js("parseFloat(getComputedStyle(document.querySelector('.first .explanation')).fontSize)") >= 15
        report.shot(f"phone_{scheme}")
    report.look(1440, 900, "dark")
    background = report.js("getComputedStyle(document.body).backgroundColor")
    report.shot("desktop_dark")
    report.look(1440, 900)
    assert report.js("getComputedStyle(document.body).backgroundColor") != background
    report.shot("desktop_light")


CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d');
  const light = (color) => { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
      .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0); };
  const styles = getComputedStyle(document.documentElement);
  const paper = light(styles.getPropertyValue('--paper'));
  return ['--ink', '--quiet', '--accent', '--critical', '--high', '--medium', '--low', '--informational'].map((name) => {
    const ink = light(styles.getPropertyValue(name));
    return [name, (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05)]; });
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_text_has_enough_contrast(report: Report, scheme: str) -> None:
    report.look(1440, 900, scheme)
    assert [pair for pair in report.js(CONTRAST) if pair[1] < 4.5] == []


def test_printing_opens_every_alert_and_closes_them_again(report: Report) -> None:
    report.browser.execute_script(
        "window.seen = 0; addEventListener('beforeprint', () => { seen = document.querySelectorAll('details[open]').length; })"
    )
    pdf = base64.b64decode(report.browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF") and report.js("window.seen") == 17
    assert report.js("document.querySelectorAll('details[open]').length") == 0


def test_an_attack_in_every_text_stays_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    planted, numbers = hostile()
    report = Report(browser, render(planted, numbers, tmp_path / "report.html"))
    report.until_shown("120 alerts")
    assert len(report.titles) == 100
    report.one("#more").click()
    assert len(report.titles) == 120, "alerts that waited in the JSON are shown too"
    report.browser.execute_script("document.querySelectorAll('details').forEach((alert) => { alert.open = true; })")
    report.select("order", "oldest first")
    report.one("#search").send_keys("window.pwned")
    report.until_shown("120 alerts")
    assert report.js("window.pwned === undefined") and report.js("document.images.length") == 0
    assert report.js("document.querySelectorAll('body script').length") == 2
    assert "<img src=x" in report.one("#list .title").text
    report.quiet()


def test_the_policy_stops_a_script_that_gets_in_all_the_same(report: Report) -> None:
    report.browser.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned=1\">');"
        "const s = document.createElement('script'); s.textContent = 'window.pwned=2'; document.body.append(s);"
    )
    WebDriverWait(report.browser, 10).until(lambda _: report.js("[...document.images].every((image) => image.complete)"))
    assert report.js("window.pwned === undefined")
    assert any("Content Security Policy" in entry["message"] for entry in log(report.browser, "browser"))


def test_5000_alerts_open_and_filter_quickly(browser: webdriver.Chrome, tmp_path: Path) -> None:
    report = Report(browser, render(many(5000), figures(), tmp_path / "report.html"))
    report.until_shown("5,000 alerts")
    assert report.js("performance.getEntriesByType('navigation')[0].loadEventEnd") < 15_000, "bounds a busy machine; 1 to 3 s are usual"
    report.one("#search").send_keys("web-11")
    report.until_shown("294 of 5,000 alerts")
    assert report.js("document.querySelectorAll('#list details').length") == 100
    assert report.one("#more").text == "Show more (194 left)"
    report.quiet()


@pytest.mark.parametrize("width", [1280, 390])
def test_pictures_are_seen_and_a_hop_can_be_read(browser: webdriver.Chrome, tmp_path: Path, width: int) -> None:
    report = Report(browser, render([*stories(), long_path(), long_timeline()], figures(), tmp_path / "report.html"))
    report.look(width, 900)
    report.until_shown("6 alerts")
    report.js("document.querySelectorAll('#list .alert').forEach((alert) => { alert.open = true; })")
    seen = "[...document.querySelectorAll('#list svg.picture')].filter((svg) => svg.getClientRects().length)"
    assert report.js(f"{seen}.length") == 6, "one of the two drawings of each alert"
    assert report.js("document.documentElement.scrollWidth") == width, "nothing sticks out"
    path = "[...document.querySelectorAll('#list svg.path')].find((svg) => svg.getClientRects().length && /web-01/.test(svg.textContent))"
    words = report.js(f"[...({path}).querySelectorAll('text')].map((text) => text.textContent)")
    assert {"web-01", "hr-db-01", "Host esx-ams-07", "3"} <= set(words) and "Crosses tenants: acme to globex" in " ".join(words)
    assert report.js(f"Math.min(...{seen}.map((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))") > 0.9, "legible"
    outside = (f"{seen}.flatMap((svg) => [...svg.querySelectorAll('text')].filter((text) => {{ const box = text.getBBox(); "
               "return box.x < 0 || box.x + box.width > svg.viewBox.baseVal.width; }).map((text) => text.textContent))")
    assert report.js(outside) == [], "by the browser's own measure"
    report.shot(f"pictures-{width}")
    report.quiet()


def test_no_alerts(browser: webdriver.Chrome, tmp_path: Path) -> None:
    report = Report(browser, render([], figures(), tmp_path / "report.html"))
    assert report.one("h1").text == "No alerts"
    report.shot("none")
    report.quiet()
