"""Random Sigma detections and the events they are run over, for test_fuzz.py.

Values of rules are made of values of the events: cut, changed in case, with wildcards put in. So about every tenth event is found.
"""

from __future__ import annotations

import random
import re
from base64 import b64encode
from typing import Any

RULES, EVENTS = 100, 12
TEXT = ("user.name", "process.command_line", "process.name", "event.action", "message")
LONG = ("process.pid", "process.parent.pid")
MANY = ("event.category", "process.args")
FIELDS = {
    **dict.fromkeys((*TEXT, "source.address", "hypervisor.setting.value", "event.original"), "keyword"), **dict.fromkeys(LONG, "long"),
    "aws.cloudtrail.read_only": "boolean", "source.ip": "ip", "@timestamp": "date", "event.start": "date",
    **dict.fromkeys(MANY, "keyword[]")}
PLAIN = ["a", "b", "ab", "Ab", "kill", "KILL", "ill", " ", " -f", "/f", "-", "_", "%", "'", '"', "(", "[a]", "{", ".", "^", "$", "|", "+",
         "*", "?", "\\", "\\\\", "\n", "0", "42", "C:\\b\\", "true"]
OTHER = ["é", "É", "ß", "ñ", "Ж", "ж", "\u2013x", " \u2014f", "\U0001f600"]
ADDRESSES = ["10.0.0.1", "10.0.0.255", "10.1.2.3", "192.0.2.7", "2001:db8::1", "2001:db8:0:1::5", "fe80::1", "::1"]
NO_ADDRESSES = ["10.0.0.1:22", "localhost", "10.0.0.256", ""]
NETWORKS = ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.1/32", "192.0.2.0/29", "0.0.0.0/0", "2001:db8::/32", "2001:db8::/64", "fe80::/10", "::/0"]
TIMES = ["2026-03-01T03:00:00Z", "2026-03-31T23:59:59.999999Z", "2028-02-29T12:30:00Z", "2025-12-29T00:00:00Z", "2026-01-01T00:00:00Z"]
NAMES = ("sel", "sel_a", "sel_b", "filter_1", "_hidden", "notable", "android", "oracle")
NUMBERS = ["9", "10", "-3", "2.5", "trunk", "", "12a", "nan", "inf", "1e3", " 7"]

Event = dict[str, Any]


# --- events -------------------------------------------------------------------------------------------------------------------


def events_of(chance: random.Random) -> list[Event]:
    """Events of one batch; in every other one all text is ASCII."""
    pieces = PLAIN if chance.random() < 0.5 else PLAIN + OTHER
    return [_event(chance, pieces) for _ in range(EVENTS)]


def _event(chance: random.Random, pieces: list[str]) -> Event:
    event: Event = {name: _text(chance, pieces) for name in (*TEXT, "event.original")}
    event |= {name: chance.choice((0, 1, 4, 42, 420, -1)) for name in LONG}
    event |= {"hypervisor.setting.value": chance.choice(NUMBERS), "aws.cloudtrail.read_only": chance.random() < 0.5}
    event |= {name: [_text(chance, pieces) for _ in range(chance.randrange(3))] for name in MANY}
    event |= {"source.ip": chance.choice(ADDRESSES), "source.address": chance.choice((*ADDRESSES, *NO_ADDRESSES))}
    event |= {name: chance.choice(TIMES) for name in ("@timestamp", "event.start")}
    return {name: value for name, value in event.items() if chance.random() < 0.75}


def _text(chance: random.Random, pieces: list[str]) -> str:
    text = "".join(chance.choice(pieces) for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 5))))
    if chance.random() < 0.1:  # as attackers hide it
        coding = chance.choice(("utf-8", "utf-16-le", "utf-16-be"))
        return b64encode(b"x" * chance.randrange(3) + text.encode(coding) + b"y" * chance.randrange(3)).decode()
    return text


# --- rules --------------------------------------------------------------------------------------------------------------------


def detection(chance: random.Random, events: list[Event]) -> dict[str, Any]:
    """Selections and a condition over them."""
    names = chance.sample(NAMES, chance.choice((1, 1, 2, 3)))
    selections = {name: _selection(chance, events) for name in names}
    conditions = [_condition(chance, names) for _ in range(chance.choice((1, 1, 1, 1, 2)))]
    return {**selections, "condition": conditions[0] if len(conditions) == 1 else conditions}


def _condition(chance: random.Random, names: list[str], depth: int = 2) -> str:
    kind = chance.choice(("name", "name", "and", "or", "not", "of") if depth else ("name", "name", "of"))
    visible = [name for name in names if not name.startswith("_")]
    if kind == "of" and visible:
        pattern = chance.choice(("them", f"{chance.choice(visible)[:3]}*", chance.choice(visible)))
        return f"{chance.choice(('1', 'any', 'all'))} of {pattern}"
    if kind in ("name", "of"):
        return chance.choice(names)
    parts = [_condition(chance, names, depth - 1) for _ in range(1 if kind == "not" else chance.choice((2, 2, 3)))]
    bracketed = [f"({part})" if chance.random() < 0.5 else part for part in parts]
    return f"not {bracketed[0]}" if kind == "not" else f" {kind} ".join(bracketed)


def _selection(chance: random.Random, events: list[Event]) -> Any:
    kind = chance.choice(("map", "map", "map", "maps", "keywords"))
    if kind == "map":
        return dict(_item(chance, events) for _ in range(chance.choice((1, 1, 2, 3))))
    if kind == "maps":
        return [dict(_item(chance, events) for _ in range(chance.choice((1, 2)))) for _ in range(2)]
    values = [_wild(chance, _taken(chance, events, "event.original")) or "a" for _ in range(2)]
    return chance.choice((values, values[:1], values[0], [*values, 42], {"|all": values}, {"|re": [_regex(chance, values[0])]}))


def _item(chance: random.Random, events: list[Event]) -> tuple[str, Any]:
    """One `field|modifiers: values`."""
    name = chance.choice((*TEXT, *TEXT, *FIELDS))
    if chance.random() < 0.08:
        return chance.choice(((name, None), (f"{name}|exists", chance.random() < 0.5)))
    kind = FIELDS[name].removesuffix("[]")
    modifiers, values = {"long": _number, "boolean": _boolean, "date": _date}.get(kind, _words)(chance, events, name)
    if chance.random() < 0.12 and "all" not in modifiers:
        modifiers = [*modifiers, "neq"]
    single = len(values) == 1 and chance.random() < 0.7
    return "|".join((name, *modifiers)), values[0] if single else values


Made = tuple[list[str], list[Any]]  # modifiers and values


def _number(chance: random.Random, events: list[Event], name: str) -> Made:
    number = chance.choice((0, 1, 4, 42, -1, 5))
    return chance.choice((
        ([], [number]), ([], [number, 420]), ([], [str(number)]), ([], ["4*", "?"]), (["contains"], [4]), (["startswith"], ["4"]),
        ([chance.choice(("gt", "gte", "lt", "lte"))], [number]), (["gt"], [4.5, 41]), (["lte", "all"], [number, 42]),
        (["fieldref"], [chance.choice(LONG)])))


def _boolean(chance: random.Random, events: list[Event], name: str) -> Made:
    return chance.choice((([], [True]), ([], [False]), ([], ["True"]), ([], ["f*"]), ([], [True, False])))


def _date(chance: random.Random, events: list[Event], name: str) -> Made:
    part = chance.choice(("minute", "hour", "day", "week", "month", "year"))
    value = chance.choice((0, 1, 3, 12, 29, 31, 52, 59, 2026))
    return chance.choice((([part], [value]), ([part], [value, 3]), ([part, chance.choice(("gt", "gte", "lt", "lte"))], [value])))


def _words(chance: random.Random, events: list[Event], name: str) -> Made:
    if name in ("source.ip", "source.address") and chance.random() < 0.6:
        return ["cidr"], chance.sample(NETWORKS, chance.choice((1, 1, 2)))
    if name == "hypervisor.setting.value" and chance.random() < 0.5:
        return [chance.choice(("gt", "gte", "lt", "lte"))], [chance.choice((9, 2.5, -3, 1000))]
    if name in TEXT and chance.random() < 0.08:
        return ["fieldref", *chance.choice(([], [], ["startswith"], ["endswith"], ["contains"]))], [chance.choice(TEXT)]
    taken = [_taken(chance, events, name) for _ in range(chance.choice((1, 1, 2, 3)))]
    kind = chance.choice(("plain", "plain", "plain", "all", "re", "coded", "windash"))
    wrap = chance.choice(([], ["contains"], ["startswith"], ["endswith"]))
    cased = ["cased"] if chance.random() < 0.2 else []
    if kind == "re":
        flags = chance.sample(("i", "m", "s"), chance.choice((0, 0, 1, 2)))
        return ["re", *flags, *["all"] * (len(taken) > 1 and chance.random() < 0.3)], [_regex(chance, text) for text in taken]
    if kind == "coded":
        first = chance.choice(([], [], ["wide"], ["utf16le"], ["utf16be"], ["utf16"]))
        return [*first, chance.choice(("base64", "base64offset")), "contains", *cased], [_escaped(text) or "ab" for text in taken]
    if kind == "windash":
        return ["windash", *wrap, *cased], [_wild(chance, text)[:12] for text in taken]
    if kind == "all":
        return [*wrap, *cased, "all"], [_wild(chance, text) for text in (*taken, _taken(chance, events, name))]
    values = [_wild(chance, text) for text in taken]
    return [*wrap, *cased], values if chance.random() < 0.9 else [*values, chance.choice((42, 0, True))]


def _taken(chance: random.Random, events: list[Event], name: str) -> str:
    """A part of a value of the field."""
    found = [each for event in events for value in [event.get(name, [])] for each in (value if isinstance(value, list) else [value])]
    text = chance.choice(found) if found else "a"
    start = chance.choice((0, 0, 0, chance.randrange(len(text) + 1)))
    cut = text[start:chance.choice((len(text), len(text), chance.randrange(start, len(text) + 1)))]
    return chance.choice((cut, cut, cut.upper(), cut.lower(), cut.swapcase()))


def _escaped(text: str) -> str:
    return re.sub(r"[\\*?]", r"\\\g<0>", text)


def _wild(chance: random.Random, text: str) -> str:
    """A value of a rule: plain or not, with wildcards in place of some of it."""
    if chance.random() < 0.2:
        return text
    pieces = [_escaped(character) for character in text]
    for _ in range(chance.choice((0, 0, 1, 2))):
        at = chance.randrange(len(pieces) + 1)
        pieces[at:at + chance.choice((0, 1, 2))] = [chance.choice("*?")]
    return "".join(pieces)


def _regex(chance: random.Random, text: str) -> str:
    pieces = [re.escape(character) for character in text[:8]]
    for _ in range(chance.choice((0, 1, 2))):
        at = chance.randrange(len(pieces) + 1)
        pieces[at:at + 1] = [chance.choice((".", ".*", "[a-z]", "[^a-z]", "[0-9]+", "(a|b)", "b?", "a{1,2}", "(?:ab)+", r"\s", r"\d"))]
    body = "".join(pieces)
    return chance.choice((body, body, f"^{body}", f"{body}$", f"^{body}$", f"{body}|kill"))


# --- sqlite -------------------------------------------------------------------------------------------------------------------


def why_not_sqlite(rule: dict[str, Any], events: list[Event]) -> str:
    """What in sqlite_differences.yml keeps sqlite from judging the rule over these events; nothing if it can."""
    keys = re.findall(r"'((?:[@a-z]|\|)[\w.@|]*)':", str({name: each for name, each in rule.items() if name != "condition"}))
    modifiers = {modifier for key in keys for modifier in key.split("|")[1:]}
    names = {key.split("|")[0] for key in keys}
    reasons = {
        "arrays": names & set(MANY), "case beyond ASCII": not (str(rule) + str(events)).isascii(), "networks as text": "cidr" in modifiers,
        "booleans": re.search(r"\b(True|False)\b", str(rule)), "numbers in text": "hypervisor.setting.value" in names,
        "weeks": "week" in modifiers, "zero bytes": modifiers & {"wide", "utf16le", "utf16be", "utf16"} and "base64" not in modifiers}
    return next((reason for reason, applies in reasons.items() if applies), "")
