"""The HTML report as text: what it says, that it is self-contained, and that log text stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.alerts import SEVERITIES, Alert, Suppression
from pipeline.raising import from_hits
from pipeline.report import render
from pipeline.report.attack import matrices, matrix
from pipeline.report.figures import Run, Source
from pipeline.report.timeline import BINS, timeline
from pipeline.sigma.attack import TACTICS
from tests.report_demo import RULES, alerts, figures, hit, hostile, many

VOID = {"meta", "link", "br", "input"}
OUR_TAGS = set(
    "html head meta title link style script noscript body header nav main section h1 h2 h3 h4 p span bdi b strong time br a div ul ol li "
    "dl dt dd code pre svg g desc path circle rect line text form label input fieldset legend select option button details summary figure "
    "figcaption table thead tbody tr th td".split())


class Page(HTMLParser):
    """What a browser would see: tags with attributes, scripts, and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.blocks:
            self.blocks[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.blocks:
            self.blocks[self.open[-1]][-1] += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def rendered(tmp_path: Path, found: list[Alert], numbers: dict[str, Any]) -> str:
    return render(found, numbers, tmp_path / "deep" / "report.html").read_text(encoding="utf-8")


def test_first_screen_answers_the_five_questions(tmp_path: Path) -> None:
    text = Page(rendered(tmp_path, alerts(), figures())).text
    screen = text[: text.index("Times in UTC.")]
    assert "3 critical and 4 high alerts Start with esx-ams-07.corp.example" in screen
    assert "root killed running VMs on esx-ams-07.corp.example" in screen and "Seen 14 times" in screen
    for answer in ("Machine esx-ams-07.corp.example", "By whom root from 203.0.113.40", "How sure High", "What now Isolate the host's"):
        assert answer in screen


def test_no_alerts_says_so_and_says_what_was_examined(tmp_path: Path) -> None:
    text = Page(rendered(tmp_path, [], figures())).text
    assert "No alerts" in text and "Examined 1,608,062 log lines in 62 files from 4 sources" in text
    assert "1,600 events are in a form that no parser knows, and 12 records were refused" in text
    assert "vmware.esxi" in text and "99.8 %" in text


def test_no_figures_at_all(tmp_path: Path) -> None:
    assert "Examined 0 log lines" in Page(rendered(tmp_path, [], {})).text


def test_lines_that_do_not_add_up_are_shown_as_a_fault(tmp_path: Path) -> None:
    wrong = figures()
    wrong["run"]["lines"] += 5
    assert Page(rendered(tmp_path, alerts(), wrong)).text.count("5 unaccounted for") == 1
    assert "unaccounted" not in Page(rendered(tmp_path, alerts(), figures())).text


def test_figures_of_a_wrong_type_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        render([], {"run": {"lines": "many"}}, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_rendering_again_replaces_the_page_and_gives_the_same_bytes(tmp_path: Path) -> None:
    first = rendered(tmp_path, alerts(), figures())
    assert rendered(tmp_path, alerts()[::-1], figures()) == first
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]


def test_page_is_self_contained_and_its_policy_allows_only_its_own_script_and_style(tmp_path: Path) -> None:
    page = Page(rendered(tmp_path, alerts(), figures()))
    policy = next(a["content"] or "" for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    hashes = {kind: base64.b64encode(hashlib.sha256(page.blocks[kind][-1].encode()).digest()).decode() for kind in ("script", "style")}
    assert f"script-src 'sha256-{hashes['script']}'" in policy and f"style-src 'sha256-{hashes['style']}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert page.open == [], "every tag is closed"
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("style", "src", "srcset", "action") for name in attributes), (tag, attributes)
        if tag == "link":
            assert (attributes["href"] or "").startswith("data:")
        if tag == "a":
            assert re.match(r"#|https://attack\.mitre\.org/techniques/T\d{4}/(\d{3}/)?$", attributes["href"] or "")


def test_hostile_text_never_becomes_markup(tmp_path: Path) -> None:
    text = rendered(tmp_path, *hostile())
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= OUR_TAGS, "no <img>, no <textarea>"
    assert [a.get("type") for tag, a in page.tags if tag == "script"] == ["application/json", None]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "window.pwned=1" not in page.blocks["script"][1] and "<script>window" not in text and "49" not in page.text[:200]
    assert not set("\x00\u202e\u2028") & set(text), "unseen characters are shown as signs"
    for fragment in json.loads(page.blocks["script"][0])["rest"]:
        inner = Page(fragment)
        assert {tag for tag, _ in inner.tags} <= OUR_TAGS - {"script", "style"} and inner.open == []
        assert not any(name.startswith("on") for _, attributes in inner.tags for name in attributes)


def test_5000_alerts_keep_the_document_small(tmp_path: Path) -> None:
    page = Page(rendered(tmp_path, many(5000), figures()))
    assert sum(tag == "details" for tag, _ in page.tags) == 100 and len(page.tags) < 20_000
    data = json.loads(page.blocks["script"][0])
    assert len(data["index"]) == 5000 and len(data["rest"]) == 4900


def test_more_alerts_than_a_browser_takes_are_counted_and_the_most_urgent_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.html.MOST", 200)
    page = Page(rendered(tmp_path, many(500), figures()))
    data = json.loads(page.blocks["script"][0])
    assert len(data["index"]) == 200 and len(data["rest"]) == 100
    assert "The list holds the 200 most urgent of 500 alerts" in page.text
    ranks = [SEVERITIES.index(entry["severity"]) for entry in data["index"]]
    assert ranks == sorted(ranks, reverse=True)


# --- parts ----------------------------------------------------------------------------------------------------------------------


def test_matrix_places_techniques_under_the_tactics_their_rules_name() -> None:
    columns = dict(matrix(alerts()))
    assert list(columns) == [name for name in TACTICS[19].values() if name in columns], "in the order of the matrix"
    assert {cell.technique.id for cell in columns["Defense Impairment"]} >= {"T1685", "T1685.004", "T1690"}
    assert columns["Impact"][0].worst == "critical" and columns["Impact"][0].alerts == 2


def test_matrix_of_v18_has_its_ids_and_tactics() -> None:
    columns = dict(matrix(alerts(), generation=18))
    assert {cell.technique.id for cell in columns["Defense Evasion"]} >= {"T1562.001", "T1562.012"}
    assert not {"Stealth", "Defense Impairment"} & columns.keys()


def test_matrix_counts_the_rules_and_shows_what_was_quiet() -> None:
    fired = alerts()[:1]
    cells = {cell.technique.id: cell for _, column in matrix(fired, RULES) for cell in column}
    assert cells.keys() >= {"T1685.004", *fired[0].attack.v19}
    touched = [cells[key] for key in fired[0].attack.v19]
    assert all(cell.rules and cell.alerts and cell.worst == fired[0].severity for cell in touched)
    quiet = [cell for cell in cells.values() if not cell.alerts]
    assert quiet and all(cell.rules and cell.worst is None for cell in quiet)
    assert all([cell.alerts > 0 for cell in column] == sorted((cell.alerts > 0 for cell in column), reverse=True)
               for _, column in matrix(fired, RULES)), "what alerts touched comes first"


def test_without_techniques_there_is_no_matrix() -> None:
    assert matrices([]) == {}


def test_timeline_bounds() -> None:
    drawn = timeline(many(5000))
    assert drawn and len(drawn.dots) <= 5 * (BINS + 1) and sum(dot.alerts for dot in drawn.dots) == 5000
    assert all(0 <= dot.x <= 100 for dot in drawn.dots) and 2 <= len(drawn.ticks) <= 7
    assert timeline([]) is None


def test_timeline_of_one_moment() -> None:
    drawn = timeline(from_hits([hit("vsw-promisc", 0, "a")], RULES))
    assert drawn and len(drawn.dots) == 1 and drawn.start == drawn.end


def test_figures_know_what_does_not_add_up() -> None:
    assert Run(lines=10, events=5, joined=3, quarantined=1).unaccounted == 1 and Run().seconds is None
    assert Source(events=3000, recognised=2999).share == 99.9 and Source().share is None


def test_suppressed_alerts_have_a_list_of_their_own_and_count_nowhere_else(tmp_path: Path) -> None:
    why = Suppression(reason="lab hosts & <b>friends</b>", owner="anna@example.org", expires=date(2027, 1, 31))
    found = alerts()
    quiet = [alert.model_copy(update={"suppressed": why}) if alert.severity == "critical" else alert for alert in found]
    page = Page(rendered(tmp_path, quiet, figures()))
    screen, below = page.text.split("Suppressed by exceptions", 1)
    assert "critical" not in screen[: screen.index("Times in UTC.")].replace("0 critical", "")
    assert below.startswith(" 3 alerts") and "Suppressed: lab hosts & <b>friends</b> ( anna@example.org , until 2027-01-31)" in below
    assert "<b>friends" not in rendered(tmp_path, quiet, figures())
    nothing_left = Page(rendered(tmp_path, [alert.model_copy(update={"suppressed": why}) for alert in found], figures())).text
    assert "No alerts" in nothing_left and "What rules matched is suppressed by exceptions (below), all of it." in nothing_left
    assert "Suppressed by exceptions" not in Page(rendered(tmp_path, found, figures())).text
