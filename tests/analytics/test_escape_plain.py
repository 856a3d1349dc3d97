"""The vectorised second pass of the escape chain against the obvious way, on random rows that are dense in every window."""

from __future__ import annotations

import random

import polars as pl
import pytest

from pipeline.analytics.escape.builds import candidates
from pipeline.analytics.escape.signals import ROLES, WEIGHED, EscapeParameters
from pipeline.analytics.escape.stages import Host

from .plain_escape import DAY, MINUTE, PlainHost, Row, defaults


def rows_of(seed: int) -> pl.DataFrame:
    """Weighed rows of two hosts. Each seed has its own density and leaves some roles out, so that rare constellations come about."""
    rng = random.Random(seed)
    span = rng.choice([2, 12, 60, 300]) * 60 * MINUTE
    roles = [*rng.sample(ROLES, rng.randrange(3, len(ROLES))), "fault", "precursor"]
    rows = []
    for number in range(rng.randrange(5, 60)):
        time = rng.randrange(span // MINUTE * 2) * MINUTE // 2
        role = rng.choice(roles)
        host = rng.choice(["esx01", "esx01", "esx02"])
        rows.append({
            "role": role, "rule": "r", "time": time, "happened": time, "event": f"e{number:03d}", "fact": None,
            "vm": rng.choice([None, "a", "b"]), "host": host, "origin": host, "user": rng.choice([None, "x", "y"]), "address": None,
            "guest": None, "detail": None, "told": rng.choice(["esx 8.0.2 1", "qemu 9.0.0"]) if role == "version" else None,
            "known": role not in ("precursor", "probe") and rng.random() < 0.2})
    return pl.DataFrame(rows, schema=dict(WEIGHED)).sort("host", "time", "event", "role", "rule")


def opened(rows: list[Row]) -> dict[int, bool]:
    """Whether the host's build was open at each row, by its number."""
    found, told = {}, None
    for number, row in enumerate(rows):
        told = (row["told"], row["time"]) if row["told"] else told
        found[number] = bool(told and row["time"] - told[1] <= 14 * DAY and candidates(told[0]))
    return found


def plainly(rows: pl.DataFrame) -> list[tuple[int, int, int, float]]:
    """Chains the obvious way, in row numbers of the whole frame."""
    found, start = [], 0
    for part in rows.partition_by("host", maintain_order=True):
        mine = [row | {"number": number} for number, row in enumerate(part.to_dicts())]
        known = opened(mine)
        host = PlainHost(mine, lambda row, known=known: known[row["number"]])  # type: ignore[misc]
        found += [(first + start, last + start, rank, score) for first, last, rank, score in host.chains()]
        start += part.height
    return found


def test_the_windows_are_the_defaults() -> None:
    assert defaults()


@pytest.mark.parametrize("block", range(5))
def test_chains_are_those_of_the_obvious_way(block: int) -> None:
    ranks = set()
    for seed in range(block * 50, block * 50 + 50):
        rows = rows_of(seed)
        wanted = plainly(rows)
        assert Host(rows, EscapeParameters()).chains.sort("first").rows() == wanted, f"seed {seed}"
        ranks |= {rank for _, _, rank, _ in wanted}
    assert ranks >= {2, 3, 4}, "the rows must bring chains of every worth about"
