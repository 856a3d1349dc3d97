"""Pictures of alerts: geometry (all inside, no text on another), what is drawn of which steps, and that log text stays text."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipeline.alerts import Alert
from pipeline.report import hop_path, render, step_timeline
from pipeline.report.details import told
from pipeline.report.drawing import fit, measure, span, wrap
from pipeline.report.pictures import MOST_HOPS, WIDTHS, picture
from pipeline.report.step_timeline import CUT, axis
from tests.report_stories import HOSTILE, Told, escape, hopping, hyperjacking, login, long_path, long_timeline, stories, story
from tests.test_report import OUR_TAGS, Page

LETTERS = ["a", "W", "é", "漢", " ", "i", "-", "<", "&", "\u202e"]


def random_story(seed: int) -> Alert:
    """Steps of any number, in any rhythm, with any names: a path (even seeds) or not."""
    chance = random.Random(seed)

    def name() -> str:
        return "".join(chance.choices(LETTERS, k=chance.randint(1, 80))).strip() or "x"

    names = [f"{number}{name()}" for number in range(7)]
    hops = chance.randint(1, 6)
    if seed % 2:
        steps: list[Told] = [(0.0, name(), name(), None, None, name()) for _ in range(chance.randint(1, 60))]
    else:
        steps = [(0.0, "login", name(), names[chance.randint(max(0, n - 1), n)], names[n + 1], chance.choice(["h1", "h2", None]))
                 for n in range(hops)]
    clock, timed = 0.0, []
    for step in steps:
        timed.append((clock, *step[1:]))
        clock += chance.choice([0.0, 0.3, 5.0, 300.0, 40_000.0, 2e6])
    places = {each: {"host": chance.choice(["h1", "h2", ""]), "tenant": chance.choice(["t1", name(), ""])} for each in names}
    users = [chance.choice([None, name()]) for _ in range(hops)]
    return story("Random", timed, 10.0, {"path.places": places, "path.hop_users": users})


CASES = [*stories(), long_path(), long_timeline(), *map(random_story, range(60))]


@pytest.mark.parametrize("width", WIDTHS.values())
@pytest.mark.parametrize("number", range(len(CASES)))
def test_texts_are_inside_and_lie_on_no_other(number: int, width: float) -> None:
    alert = CASES[number]
    path = hop_path.drawable(alert.steps) and len(alert.steps) <= MOST_HOPS
    sheet, height, _ = (hop_path if path else step_timeline).draw(alert, width)
    assert len(sheet.areas) >= 3
    for area in sheet.areas:
        assert area.x >= 0 and area.x + area.width <= width and area.y >= 0 and area.y + area.height <= height, area
    assert [(one, other) for one, other in combinations(sheet.areas, 2) if one.overlaps(other)] == []


@pytest.mark.parametrize("number", range(len(CASES)))
def test_shapes_are_inside(number: int) -> None:
    drawn = picture(CASES[number])
    assert drawn
    for drawing in drawn.drawings:
        root = ElementTree.fromstring(str(drawing))
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}"
        for rect in root.iter("rect"):
            x, y, w, h = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
            assert 0 <= x and x + w <= width and 0 <= y and y + h <= height
        for circle in root.iter("circle"):
            x, y, r = (float(circle.attrib[name]) for name in ("cx", "cy", "r"))
            assert r <= x <= width - r and r <= y <= height - r


def test_steps_from_machine_to_machine_are_a_path_and_others_a_timeline() -> None:
    assert hop_path.drawable(hopping().steps) and hop_path.drawable(hopping().steps[:1])
    assert not any(hop_path.drawable(alert.steps) for alert in (escape(), hyperjacking(), login()))
    assert not hop_path.drawable(()), "no steps"
    scattered = story("Apart", [(0, "login", "login", "a", "b", None), (1, "login", "login", "c", "d", None)], 1.0, {})
    assert not hop_path.drawable(scattered.steps), "the second starts where nobody was"
    without = escape().model_copy(update={"steps": ()})
    assert picture(without) is None


def test_too_many_hops_are_a_timeline() -> None:
    hops: list[Told] = [(n, "login", "login", f"m{n}", f"m{n + 1}", None) for n in range(MOST_HOPS + 1)]
    titles = [drawn.title for count in (MOST_HOPS, MOST_HOPS + 1) if (drawn := picture(story("Hops", hops[:count], 1.0, {})))]
    assert titles == [f"{MOST_HOPS} hops from m0 to m{MOST_HOPS}", "What happened when"]


def test_path_says_who_when_what_and_where_the_tenant_changes() -> None:
    sheet, _, words = hop_path.draw(hopping(), 860.0)
    texts = [area.text for area in sheet.areas]
    assert [text for text in texts if text.startswith("Host ")] == ["Host esx-ams-03", "Host esx-ams-07"]
    hops = {"2026-03-01 22:04:11  svc-deploy", "22:16:33  (+12 min 22 s)  jdoe", "2026-03-02 00:50:11  (+2 h 33 min)  jdoe"}
    assert hops <= set(texts)
    assert [text for text in texts if "Crosses" in text] == ["Crosses tenants: acme to globex"]
    assert "Hop 3, 2026-03-02 00:50:11 UTC, jdoe: jump-07 to hr-db-01, operation inside the guest" in words


def test_on_a_phone_times_and_users_are_whole() -> None:
    said = " ".join(area.text for area in hop_path.draw(hopping(), WIDTHS["phone"])[0].areas)
    assert all(word in said for word in ("2026-03-02 00:50:11", "(+2 h 33 min)", "svc-deploy", "past the network"))


def test_path_without_places_tells_what_its_steps_tell() -> None:
    bare = hopping().model_copy(update={"detail": {"path.users": ["jdoe"]}})
    texts = [area.text for area in hop_path.draw(bare, 860.0)[0].areas]
    assert "Crosses tenants" in texts and sum(text.endswith("jdoe") for text in texts) == 3
    two = bare.model_copy(update={"detail": {"path.users": ["jdoe", "root"]}})
    assert not any("jdoe" in area.text for area in hop_path.draw(two, 860.0)[0].areas), "which of two made a hop is not known"


def test_a_hop_from_a_machine_before_the_last_names_that_machine_again() -> None:
    forked = story("Fork", [(0, "login", "login", "a", "b", "h"), (1, "login", "login", "a", "c", "h")], 1.0, {})
    assert [(node.name, node.hop) for node in hop_path.nodes(forked)] == [("a", None), ("b", 0), ("a", None), ("c", 1)]


def test_axis_is_linear_without_long_silences() -> None:
    scale = axis([0, 10, 20, 40], 0, 400)
    assert scale.cuts == () and [scale.place(second) for second in (0, 10, 20, 40)] == [0, 100, 200, 400]


def test_axis_cuts_a_silence_that_dominates_and_stays_linear_elsewhere() -> None:
    scale = axis([0, 30, 60, 11_400], 0, 400)
    assert scale.cuts == ((60, 11_400),)
    places = [scale.place(second) for second in (0, 30, 60, 11_400)]
    assert places[1] - places[0] == places[2] - places[1] and places[3] - places[2] == pytest.approx(CUT) and places[3] == 400


def test_axis_of_silences_alone_keeps_the_shorter_ones_to_scale() -> None:
    day = 86_400.0
    scale = axis([0, 95, 9 * day, 9 * day + 600, 12 * day], 0, 800)
    assert scale.cuts == ((95, 9 * day), (9 * day + 600, 12 * day)) and scale.place(12 * day) == pytest.approx(800)
    first, second = scale.place(95), scale.place(9 * day + 600) - scale.place(9 * day)
    assert second / first == pytest.approx(600 / 95)


def test_axis_of_two_moments_or_of_one() -> None:
    assert axis([0, 90_000], 0, 400).cuts == () and axis([0, 90_000], 0, 400).place(90_000) == 400
    assert axis([0, 0], 0, 400).place(0) == 200


@pytest.mark.parametrize("seed", range(1, 60, 2))
def test_axis_keeps_the_order_of_time(seed: int) -> None:
    steps = random_story(seed).steps
    seconds = [(step.time - steps[0].time) / timedelta(seconds=1) for step in steps]
    for width in WIDTHS.values():
        places = [axis(seconds, 0, width).place(second) for second in seconds]
        assert all(0 <= place <= width + 1e-6 for place in places)
        assert all(later >= earlier - 1e-6 for earlier, later in pairwise(places))


def test_every_step_of_a_lane_is_in_one_mark() -> None:
    held = [(number, step, number * 1.5) for number, step in enumerate(long_timeline().steps, 1)]
    found = list(step_timeline.marks(held))
    assert [step for mark in found for step in mark.steps] == [step for _, step, _ in held] and 1 < len(found) < 60
    assert all(later.x - earlier.x > 2 * step_timeline.MARK for earlier, later in pairwise(found))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    for alert in (long_path(), long_timeline()):
        drawn = picture(alert)
        assert drawn
        for drawing in drawn.drawings:
            root = ElementTree.fromstring(str(drawing))
            assert {element.tag for element in root.iter()} <= {"svg", "title", "desc", "text", "rect", "path", "circle", "g"}
    whole = render([long_path(), long_timeline()], {}, tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(whole)
    assert {tag for tag, _ in page.tags} <= OUR_TAGS and page.open == [] and "<script>window" not in whole
    assert not set("\x00\u202e") & set(whole) and HOSTILE[:20] in page.text


def test_pictures_have_a_name_and_a_description_for_screen_readers() -> None:
    for alert in CASES:
        drawn = picture(alert)
        assert drawn
        for drawing in drawn.drawings:
            root = ElementTree.fromstring(str(drawing))
            assert root.attrib["role"] == "img" and [child.tag for child in root[:2]] == ["title", "desc"]
            assert root[0].text == drawn.title and root[1].text


def test_page_has_score_steps_in_words_and_what_the_job_knows(tmp_path: Path) -> None:
    text = Page(render([escape()], {}, tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "Score 91 of 100" in text and "The 8 steps in words" in text
    assert "2026-03-01 22:06:22 (+47 s) fault : fault of the hypervisor under build-04: vmx crashed on esx-ams-03" in text
    assert "May be CVE-2024-22252, CVE-2025-22224" in text


def test_details_in_words() -> None:
    assert told({"doubt": False, "also": [], "build": None}) == [], "what is empty says nothing"
    signals = [{"name": "x", "why": "too far"}, {"name": "y", "why": "too fast"}]
    assert told({"zz_new": {"a_b": 2.5}, "signals": signals, "doubt": True}) == [
        ("Signals", "too far; too fast"), ("Fault may be harmless", "yes"), ("zz_new", "a b 2.5")]
    assert dict(told(hyperjacking().detail))["Inventories disagree on"] == "rogue vm-shadow"
    assert "path.machines" not in dict(told(hopping().detail)), "the picture shows them"


@pytest.mark.parametrize("text", ["short", "x" * 80, "W" * 300, "漢字" * 40, "name-of-a-host.corp.example " * 5])
def test_text_is_cut_and_broken_to_its_width(text: str) -> None:
    cut = fit(text, 120)
    assert measure(cut) <= 120 and (cut == text or "…" in cut)
    lines = wrap(text, 120, 2)
    assert 1 <= len(lines) <= 2 and all(measure(line) <= 120 for line in lines)


@pytest.mark.parametrize(("seconds", "words"), [(0, "under 1 s"), (0.4, "under 1 s"), (59, "59 s"), (742, "12 min 22 s"), (3600, "1 h"),
                                                (11_240, "3 h 7 min"), (90_000, "1 d 1 h")])
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
