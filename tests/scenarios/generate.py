"""A whole data centre's weeks as raw logs, with attacks and negatives planted: `python -m tests.scenarios.generate SEED FOLDER`.

Writes FOLDER/logs (seven files of five sources), FOLDER/context (what `--context` takes, and geo.mmdb for `--geoip`) and
FOLDER/labels.json: what was planted, with job, attack, whether it is a negative, entities, start, end, and its lines (file, number).
The same arguments give the same bytes. It knows nothing of how the jobs detect, and imports nothing of pipeline/.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import attacks_escape, attacks_hopping, attacks_hyperjacking, attacks_logins, context_files, life
from .doings import FILES
from .parts import DAY, HOUR, Record
from .world import World

KINDS = (attacks_escape, attacks_hyperjacking, attacks_hopping, attacks_logins)
JOBS = tuple(kind.JOB for kind in KINDS)
LATE = timedelta(minutes=30)


def generate(seed: int, hosts: int = 40, vms: int = 400, days: int = 28, attacks: int = 4, late: bool = False) -> World:
    """A world with all its lines. `attacks`: how many of each job; every negative is planted once. `late`: a tenth of the lines arrives
    half an hour after its time.
    """
    world = World(seed, hosts, vms, days)
    life.plan(world)
    for place, kind in enumerate(KINDS):
        chosen = [kind.ATTACKS[(seed * attacks + number) % len(kind.ATTACKS)] for number in range(attacks)]
        for plant in (*chosen, *kind.NEGATIVES):
            _plant(world, plant, place)
    life.tell(world)
    if late:
        for file, records in world.records.items():
            world.records[file] = [Record(r.line, r.case, LATE) if world.rng.random() < 0.1 else r for r in records]
    return world


def _plant(world: World, plant: Callable[[World, datetime], None], place: int) -> None:
    """Somewhere in the last third, on a working day: before it, everybody's habits can be known."""
    for _ in range(50):
        day = world.rng.randrange(world.days * 2 // 3, world.days - 1)
        time = world.start + day * DAY + (9 + place + world.rng.uniform(0, 7)) * HOUR
        before = len(world.cases)
        try:
            plant(world, time)
        except LookupError:
            world.forget(before)
            continue
        return
    raise LookupError(f"seed {world.seed}: no room for {plant.__name__}")


def write(world: World, folder: Path) -> None:
    """The files of a world."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    places: dict[int, list[list[Any]]] = defaultdict(list)
    for file in FILES:
        number = 0
        with (folder / "logs" / file).open("w", encoding="utf-8", newline="\n") as out:
            for record in sorted(world.records.get(file, []), key=lambda one: (one.arrives, one.line[1])):
                if record.case is not None:
                    places[record.case].append([file, number + 1])
                out.write(record.line[1] + "\n")
                number += record.line[1].count("\n") + 1
    (folder / "labels.json").write_text(json.dumps(labels(world, places), indent=1) + "\n", encoding="utf-8")
    context_files.write(world, folder / "context")


def labels(world: World, places: dict[int, list[list[Any]]]) -> list[dict[str, Any]]:
    """What was planted."""
    return [{"job": case.job, "attack": case.attack, "negative": case.negative,
             "entities": {kind: sorted(names) for kind, names in case.entities.items()},
             "start": min(line[0] for _, line in case.lines).isoformat(), "end": max(line[0] for _, line in case.lines).isoformat(),
             "lines": places.get(case.number, [])} for case in world.cases if case.lines]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--vms", type=int, default=400)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--late", action="store_true", help="a tenth of the lines arrives 30 minutes after its time")
    options = parser.parse_args()
    world = generate(options.seed, options.hosts, options.vms, options.days, late=options.late)
    write(world, options.folder)
    lines = sum(len(records) for records in world.records.values())
    print(f"{lines:,} records, {len(world.cases)} planted: {options.folder}")


if __name__ == "__main__":
    main()
