"""Groups of paths, and single hops into another tenant, as findings: severity, steps, detail and words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...text import one_line
from ..job import MAX_EVENTS, instant, step, steps_json
from .parameters import CONSOLE, DISK, FLOW, GUEST_OPERATION, HOST_LOGIN, LOGIN, Hopping
from .paths import Hop, Path, Relation

MAX_NAMES = 20
SEVERITIES = ("informational", "low", "medium", "high", "critical")
DONE = {LOGIN: "login", HOST_LOGIN: "login", FLOW: "connection to an administrative port", GUEST_OPERATION: "operation inside the guest",
        CONSOLE: "console opened", DISK: "its disk attached"}
HOST = 1  # place of `host` and `tenant` in job.PLACE
TENANT = 3


def of_paths(paths: Sequence[Path], p: Hopping) -> dict[str, Any]:
    """The finding of an intrusion: the best of its paths is told, the others are named by where they end."""
    main = paths[0]
    hops = list({hop.order: hop for path in paths for hop in path.hops}.values())
    root = min(hops, key=lambda hop: hop.order)
    ends = sorted({path.hops[-1].target for path in paths} - set(main.machines))
    told = " ".join(_sentences(main)) + (f" Also reached: {_list(ends)}." if ends else "") + " " + _sum(main, p)
    return _finding(f"{root.who or ''}: {root.source} > {root.target}", hops, _severity(main, p), main, ends, told)


def of_crossings(hops: Sequence[Hop], paths: Sequence[Path], days: int, p: Hopping) -> dict[str, Any]:
    """The finding of single hops of a day from one machine into one other tenant; `paths` are these hops, each alone, the best first;
    `days`: on how many days before the rarest of their pairs was seen.
    """
    first = paths[0].hops[0]
    tenants = f"{_name(first.place[TENANT] or '')} to {_name(first.goal[TENANT] or '')}"
    severity = "low" if days >= p.habitual_days else "medium" if all(hop.kind == FLOW for hop in hops) else "high"
    others = sorted({hop.target for hop in hops} - {first.target})
    told = f"{' '.join(_sentences(paths[0]))} No row of the segmentation lets {tenants}."
    told += f" Also reached: {_list(others)}." if others else ""
    return _finding(f"{first.source} > tenant {first.goal[TENANT]}", hops, severity, paths[0], others, f"{told} {_sum(paths[0], p)}")


def _finding(key: str, hops: Sequence[Hop], severity: str, main: Path, also: Sequence[str], told: str) -> dict[str, Any]:
    events = list(dict.fromkeys([hop.event for hop in main.hops] + [hop.event for hop in sorted(hops, key=lambda one: one.order)]))
    steps = (step(hop.time, _what(hop, relation), hop.kind, event=hop.event, source=hop.source, target=hop.target, host=hop.goal[HOST])
             for hop, relation in zip(main.hops, main.relations, strict=True))
    detail = {"path.vms": _vms(main), "path.machines": main.machines, "path.hosts": _distinct(hop.goal[HOST] for hop in main.hops),
              "path.hop_count": len(main.hops), "path.users": _distinct(hop.who for hop in main.hops), "path.tenants": _tenants(main),
              "path.places": _places(main), "path.hop_users": [hop.who for hop in main.hops],
              "same_host_hops": sum(same for same, *_ in main.relations), "also": also[:MAX_NAMES]}
    return {"key": key, "first": min(hop.time for hop in hops), "last": max(hop.time for hop in hops), "severity": severity,
            "score": round(min(main.score, 100.0), 1), "events": events[:MAX_EVENTS], "count": len(events), "steps": steps_json(steps),
            "detail": json.dumps(detail, ensure_ascii=False), "explanation": told}


def _severity(path: Path, p: Hopping) -> str:
    """By score; of what was merely tried (connections) or looked at (consoles), at most medium."""
    level = 4 if path.score >= p.critical else 3 if path.score >= p.high else 2
    return SEVERITIES[min(level, 2) if all(hop.kind in (FLOW, CONSOLE) for hop in path.hops) else level]


def _sentences(path: Path) -> Iterator[str]:
    before: Hop | None = None
    for hop, relation in zip(path.hops, path.relations, strict=True):
        who = one_line(hop.who or "somebody", 100)
        when = f"{instant(hop.time):%Y-%m-%d %H:%M:%S} UTC" if before is None else f"{_span(hop.time - before.time)} later"
        yield f"{when}: {who} from {_name(hop.source)} to {_name(hop.target)} ({_what(hop, relation)})."
        before = hop


def _what(hop: Hop, relation: Relation) -> str:
    same_host, tenant_cross, segment_cross, zone_up = relation
    crossed = ("another tenant" if tenant_cross else "another segment" if segment_cross else "",
               "a zone of higher trust" if zone_up else "", "on the same host" if same_host else "",
               "past the network" if hop.bypass else "")
    return ", ".join([DONE[hop.kind], *filter(None, crossed)])


def _sum(path: Path, p: Hopping) -> str:
    """What the score is made of."""
    weights = p.weights
    same_host, tenant_cross, _, zone_up = (sum(flags) for flags in zip(*path.relations, strict=True))
    counts = (same_host, tenant_cross, zone_up, sum(hop.bypass for hop in path.hops))
    parts = zip(("same host", "tenant crossed", "higher zone", "past the network"), counts,
                (weights.same_host, weights.tenant_cross, weights.zone_up, weights.guestop_bypass), strict=True)
    words = [f"{name} {count} x {worth:g}" for name, count, worth in parts if count]
    return f"Score {path.score:.1f}: " + ", ".join([f"rarity {weights.rarity * sum(hop.rarity for hop in path.hops):.1f}", *words]) + "."


def _vms(path: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in path.machines if name in path.vms))


def _tenants(path: Path) -> tuple[str, ...]:
    return _distinct(place[TENANT] for hop in path.hops for place in (hop.place, hop.goal))


def _places(path: Path) -> dict[str, dict[str, str | None]]:
    """Where each machine of the path was when it was last in it."""
    ends = ((name, place) for hop in path.hops for name, place in ((hop.source, hop.place), (hop.target, hop.goal)))
    return {name: {"host": place[HOST], "tenant": place[TENANT]} for name, place in ends}


def _distinct(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_NAMES]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(_name, names[:5])) + more


def _name(name: str) -> str:
    return one_line(name, 100)


def _span(micros: int) -> str:
    seconds = micros // 1_000_000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
