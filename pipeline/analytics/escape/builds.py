"""Which guest-to-host vulnerabilities the build of a hypervisor is open to, by the table detections/vm-escape/guest_to_host.csv.

A row of the table: `cve`; `product` (esx or qemu); `lane`, the versions it is about by their beginning (8.0.2 before 8.0; empty: all);
`fixed`, the first build (esx: the number of the build, which grows within a lane) or version (qemu) that has the fix; `where` the hole
is; `source`. Rows come from VMware's security advisories (VMSA) and the CVE records of VMware and Red Hat: what no source states is not
in the table, such as fixes for ESXi 7.0 after its end of support, or a lane that an advisory does not name.

Distributions mend their QEMU without a new version, so a candidate there is a question, not an answer.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ... import content
from ...errors import ContentError

HEADER = ["cve", "product", "lane", "fixed", "where", "source"]
PRODUCTS = ("esx", "qemu")
Numbers = tuple[int, ...]
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Hole:
    """One vulnerability in one lane of versions."""

    cve: str
    product: str
    lane: Numbers
    fixed: Numbers


@cache
def load_holes() -> tuple[Hole, ...]:
    """The table of the content folder. Raises ContentError with file and row for what cannot be right."""
    return read_holes(content.folder("detections") / "vm-escape" / "guest_to_host.csv")


def read_holes(path: Path) -> tuple[Hole, ...]:
    """One table, checked."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, ValueError) as error:
        raise ContentError(f"table cannot be read: {error}", path) from None
    if header != HEADER:
        raise ContentError(f"the columns must be {', '.join(HEADER)}", path, 1)
    found: dict[tuple[str, str, Numbers], Hole] = {}
    for line, row in enumerate(rows, 2):
        hole = _hole(row, path, line)
        key = (hole.cve, hole.product, hole.lane)
        if found.setdefault(key, hole) is not hole:
            raise ContentError(f"{hole.cve} has two rows for one lane", path, line)
    return tuple(found.values())


def _hole(row: list[str], path: Path, line: int) -> Hole:
    if len(row) != len(HEADER):
        raise ContentError(f"{len(row)} cells where the header has {len(HEADER)}", path, line)
    cve, product, lane, fixed, _, source = row
    if not _CVE.fullmatch(cve) or product not in PRODUCTS or not source:
        raise ContentError("a row has a CVE id, one of the products esx and qemu, and a source", path, line)
    if not _NUMBERS.fullmatch(fixed) or (lane and not _NUMBERS.fullmatch(lane)):
        raise ContentError(f"lane {lane!r} and fixed {fixed!r} are numbers with dots", path, line)
    return Hole(cve, product, _numbers(lane), _numbers(fixed))


def candidates(told: str) -> tuple[str, ...]:
    """CVEs that a build is open to, sorted. `told`: product, version and (esx) build, such as `esx 8.0.2 22380479`, `qemu 4.0.0`."""
    product, version, build = (*told.split(), "", "", "")[:3]
    numbers = _numbers(version)
    is_ = _numbers(build) if product == "esx" else numbers
    nearest: dict[str, Hole] = {}  # of each CVE the lane that says most about this version
    for hole in load_holes():
        if hole.product == product and numbers[:len(hole.lane)] == hole.lane:
            other = nearest.setdefault(hole.cve, hole)
            nearest[hole.cve] = max(other, hole, key=lambda each: len(each.lane))
    return tuple(sorted(cve for cve, hole in nearest.items() if is_ and is_ < hole.fixed))


def words(told: str) -> str:
    """A build as people write it."""
    product, version, build = (*told.split(), "", "", "")[:3]
    return f"ESX {version} build {build}" if product == "esx" else f"QEMU {version}"


def _numbers(text: str) -> Numbers:
    return tuple(int(part) for part in text.split(".")) if text else ()
