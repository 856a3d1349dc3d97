"""Writes sample_logs/: `python -m tests.scenarios.sample_logs`. Attacks hidden in ordinary days (sample_attacks.py, sample_jobs.py), and
clean/ in which nothing happens.

Seeded, so a test proves that the files in the repository are what this program writes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from .benign import cloud_day, esxi_day, kvm_day, vcenter_day
from .lines import Line
from .sample_attacks import ATTACKS, HOSTS, Files
from .sample_jobs import JOBS, write_context

CONTEXT = "_context"  # what begins with _ is no log


def clean() -> Files:
    """Two ordinary days of everything."""
    rng = random.Random(1)
    files: Files = {
        "esxi.log": [],
        "vcenter.log": [],
        "kvm01-audit.log": [],
        "kvm01-libvirtd.log": [],
        "kvm01-auth.log": [],
        "cloudtrail.ndjson": [],
    }
    for day in ("2026-03-02", "2026-03-03"):
        files["esxi.log"] += esxi_day(rng, day, HOSTS, 1500)
        files["vcenter.log"] += vcenter_day(rng, day, HOSTS, 500)
        records, daemon, auth = kvm_day(rng, day, "kvm01", 600)
        files["kvm01-audit.log"] += records
        files["kvm01-libvirtd.log"] += daemon
        files["kvm01-auth.log"] += auth
        files["cloudtrail.ndjson"] += cloud_day(rng, day, 300)
    return files


SCENARIOS = {"clean": clean, **ATTACKS, **JOBS}


def text(lines: Iterable[Line]) -> str:
    """Lines in order of time."""
    return "".join(line + "\n" for _, line in sorted(lines, key=lambda pair: pair[0]))


def write(root: Path) -> None:
    """Write every scenario below `root`."""
    for name, make in SCENARIOS.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for file, lines in make().items():
            (root / name / file).write_text(text(lines), encoding="utf-8")
    write_context(root / CONTEXT)


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2] / "sample_logs")
