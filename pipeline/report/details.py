"""What a job knows beyond its steps (Alert.detail), in words: the keys that jobs document; others under their own name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..text import one_line

KNOWN = {
    "path.vms": "VMs on the path", "path.hosts": "Hosts on the path", "path.users": "Users on the path", "path.tenants": "Tenants",
    "same_host_hops": "Hops on one host", "also": "Also reached", "stages": "Stages seen", "signals": "Signals", "vms": "VMs",
    "users": "Users", "cve_candidates": "May be", "build": "Build", "gap_minutes": "Minutes between stages",
    "doubt": "Fault may be harmless", "classes": "Points", "unlogged": "Came or went without an event",
    "set_diff": "Inventories disagree on",
    "duplicates": "One identity twice", "principal": "Who", "realm": "Where", "risk": "Risk (0 to 1)", "off": "Signals switched off",
    "profile": "Profile", "previous": "Login before", "travelled_km": "Kilometres between logins", "speed_kmh": "Kilometres an hour",
    "source": "From", "logins": "Risky logins"}
# What the picture or the line of the score shows already.
DRAWN = frozenset({"score", "path.machines", "path.hop_count", "path.places", "path.hop_users", "host"})
LONGEST = 400


def told(detail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, words), known keys first, in the order of KNOWN. What is empty says nothing and is left out."""
    order = [*(key for key in KNOWN if key in detail), *sorted(detail.keys() - KNOWN.keys() - DRAWN)]
    return [(KNOWN.get(key, one_line(key, 60)), one_line(words, LONGEST)) for key in order if (words := _words(detail[key]))]


def _words(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, Mapping):
        if "why" in value:  # a signal of a login
            return str(value["why"])
        return ", ".join(f"{_plain(key)} {words}" for key, each in value.items() if (words := _words(each)))
    if isinstance(value, list):
        return ("; " if any(isinstance(each, Mapping) for each in value) else ", ").join(filter(None, map(_words, value)))
    return value.replace("_", " ") if isinstance(value, str) and value.replace("_", "").isalpha() and value.islower() else str(value)


def _plain(key: Any) -> str:
    return str(key).replace("_", " ")
