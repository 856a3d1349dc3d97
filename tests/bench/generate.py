"""Seeded log files of any length: `python -m tests.bench.generate --source vmware-esxi --lines 1000000 --out esxi.log`.

The same source, number of lines and seed give the same bytes. Forms and their shares are data, forms/<source>.tsv. Times increase;
addresses are private or reserved for documentation; one line in ten thousand is hostile.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

FORMS = Path(__file__).parent / "forms"
CHUNK = 200_000  # records per chunk, to bound memory
START_US = 1_772_359_200_000_000  # 2026-03-01T10:00:00Z
HOSTILE = 0.0001
_SLOT = re.compile(r"\{([a-z]+[0-9]?)\}")

Rng = np.random.Generator


@dataclass(frozen=True)
class Form:
    """A record template and its share of all records."""

    share: float
    template: str


def read_forms(source: str) -> list[Form]:
    """The forms of a source; shares sum to 1, hostile ones together to HOSTILE."""
    text = (FORMS / f"{source}.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t", 1) for line in text.splitlines() if line and not line.startswith("#")]
    total = sum(float(weight) for weight, _ in rows if weight != "!")
    hostile = sum(weight == "!" for weight, _ in rows)
    return [Form(HOSTILE / hostile if weight == "!" else float(weight) / total * (1 - HOSTILE), template.replace("\\n", "\n"))
            for weight, template in rows]


def _hex(rng: Rng, size: int, digits: int) -> list[str]:
    return [f"{value:0{digits}x}" for value in rng.integers(0, 16**digits, size, dtype=np.uint64 if digits > 15 else np.int64)]


def _uuids(rng: Rng, size: int) -> list[str]:
    parts = [_hex(rng, size, digits) for digits in (8, 4, 4, 4, 12)]
    return ["-".join(part) for part in zip(*parts, strict=True)]


def _numbers(low: int, high: int) -> Callable[[Rng], list[str]]:
    return lambda rng: [str(value) for value in rng.integers(low, high, 4096)]


def _ips(rng: Rng) -> list[str]:
    private = [f"10.{a}.{b}.{c}" for a, b, c in rng.integers(1, 255, (800, 3))]
    return private + [f"{net}.{c}" for net in ("192.0.2", "198.51.100", "203.0.113") for c in rng.integers(1, 255, 60)]


# What a slot of a template may hold: name -> values that a seeded generator makes once per file.
POOLS: dict[str, Callable[[Rng], list[str]]] = {
    "host": lambda rng: [f"esx{i:02}" for i in range(1, 41)],
    "hostip": lambda rng: [f"10.0.1.{i}" for i in range(1, 41)],
    "vc": lambda rng: ["vc01.example.org", "vc02.example.org"],
    "dc": lambda rng: ["Berlin", "Oslo North", "Lab"],
    "vm": lambda rng: [f"{role}-{i:03}" for role in ("web-prod", "web-test", "db-prod", "app-prod", "mail", "build") for i in range(1, 90)],
    "vmid": _numbers(1, 900),
    "user": lambda rng: ["root", "anna", "bela", "carl", "dora", "backup-svc", "monitor", "ops"],
    "ip": _ips,
    "port": _numbers(1024, 65535),
    "pid": _numbers(2_000_000, 2_200_000),
    "world": _numbers(2_000_000, 9_000_000),
    "cpu": _numbers(0, 64),
    "uid": _numbers(1000, 1020),
    "n": _numbers(1, 99_999),
    "small": _numbers(0, 32),
    "big": _numbers(100_000_000, 999_999_999),
    "us": _numbers(10_000_000_000, 990_000_000_000),
    "op": lambda rng: [f"{prefix}-{a}-{b}" for prefix in ("lro", "esxui", "HB", "SWI") for a, b in
                       zip(_hex(rng, 2000, 4), _hex(rng, 2000, 4), strict=True)],
    "uuid": lambda rng: _uuids(rng, 8000),
    "ds": lambda rng: [f"{a}-{b}-{c}-{d}" for a, b, c, d in zip(*(_hex(rng, 24, n) for n in (8, 8, 4, 12)), strict=True)],
    "hex": lambda rng: _hex(rng, 8000, 8),
    "naa": lambda rng: _hex(rng, 60, 15),
    "mac": lambda rng: [f"{a}:{b}:{c}" for a, b, c in zip(*(_hex(rng, 500, 2) for _ in range(3)), strict=True)],
    "nic": lambda rng: [f"vmnic{i}" for i in range(8)],
    "updown": lambda rng: ["up", "down"],
    "onoff": lambda rng: ["on", "off"],
    "status": lambda rng: ["success"] * 9 + ["error"],
    "scsicmd": lambda rng: ["0x1a", "0x85", "0x4d", "0x28", "0x2a"],
    "vmstate": lambda rng: ["VM_STATE_RECONFIGURING", "VM_STATE_EMIGRATING", "VM_STATE_CREATE_SNAPSHOT", "VM_STATE_GUEST_REBOOT"],
    "method": lambda rng: [f"VirtualMachine.{name}" for name in ("reconfigure", "powerOn", "powerOff", "acquireTicket", "createSnapshot")]
    + ["SimpleCommand.Execute", "HostSystem.acquireCimServicesTicket"],
    "vpxacall": lambda rng: ["getVpxaInfo", "retrieveChanges", "queryBatchPerformanceStatistics", "getChangesInTransit"],
    "agent": lambda rng: ["VMware-client/8.0.0", "VMware vim-java 1.0", "Go-http-client/1.1", "pyvmomi Python/3.11.4", "PowerCLI/13.2"],
    "clock": lambda rng: [f"Sunday, 01 March, 2026 {h:02}:{m:02}:00" for h, m in rng.integers(0, 24, (200, 2))],
    "command": lambda rng: ["esxcli network nic list", "vim-cmd vmsvc/getallvms", "ls -l /vmfs/volumes", "esxtop -b -n 1"],
    "virsh": lambda rng: ["start", "dominfo", "domstats", "dumpxml"],
    "describe": lambda rng: ["DescribeInstances", "DescribeVolumes", "DescribeSnapshots", "DescribeInstanceStatus", "DescribeImages"],
    "change": lambda rng: ["StopInstances", "StartInstances", "RebootInstances"],
    "awsagent": lambda rng: ["aws-cli/2.15.0", "Boto3/1.34.0", "console.amazonaws.com", "Terraform/1.7.0"],
}


def _times(at: pl.Series) -> dict[str, pl.Series]:
    """Slots that tell the time of a record, from its time in microseconds."""
    stamp = at.cast(pl.Datetime("us"))
    micro = stamp.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")
    return {"isos": micro.str.slice(0, 19) + "Z", "iso": micro.str.slice(0, 23) + "Z", "isofive": micro.str.slice(0, 25) + "Z",
            "rfc": micro + "+00:00",
            "epoch": (at // 1_000_000).cast(pl.String) + "." + (at // 1000 % 1000).cast(pl.String).str.zfill(3)}


class Generator:
    """Draws records of one source, chunk after chunk."""

    def __init__(self, source: str, seed: int) -> None:
        self._forms = read_forms(source)
        self._rng = np.random.default_rng(seed)
        self._pools = {name: pl.Series(make(self._rng)) for name, make in POOLS.items()}
        self._now, self._sequence = START_US, 1_000_000

    def chunk(self, records: int) -> pl.Series:
        """The lines of the next records, in order of time."""
        at = pl.Series(self._now + np.cumsum(self._rng.exponential(5000, records).astype(np.int64)))  # 200 records a second
        self._now = int(at[-1])
        shares = np.array([form.share for form in self._forms])
        kind = self._rng.choice(len(self._forms), records, p=shares / shares.sum())
        slots = {**_times(at), "seq": pl.Series(np.arange(self._sequence, self._sequence + records)).cast(pl.String)}
        self._sequence += records
        parts = []
        for number, form in enumerate(self._forms):
            rows = pl.Series(np.flatnonzero(kind == number))
            if len(rows):
                parts.append(pl.DataFrame({"row": rows, "text": self._fill(form.template, rows, slots)}))
        return pl.concat(parts).sort("row").get_column("text").str.split("\n").explode()

    def _fill(self, template: str, rows: pl.Series, slots: dict[str, pl.Series]) -> pl.Series:
        values: dict[str, pl.Series] = {}
        pieces: list[pl.Expr] = []
        for position, piece in enumerate(_SLOT.split(template)):
            if position % 2 == 0:
                pieces.append(pl.lit(piece))
                continue
            if piece not in values:
                values[piece] = slots[piece].gather(rows) if piece in slots else self._draw(piece, len(rows))
            pieces.append(pl.col(piece))
        return pl.DataFrame(values).select(pl.concat_str(pieces)).to_series()

    def _draw(self, slot: str, size: int) -> pl.Series:
        pool = self._pools[slot.rstrip("0123456789")]
        return pool.gather(self._rng.integers(0, len(pool), size))


def generate(source: str, lines: int, path: Path, seed: int = 1) -> int:
    """Write exactly `lines` lines of a source to a file. Returns its size in bytes."""
    generator, left, size = Generator(source, seed), lines, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while left:
            text = generator.chunk(min(CHUNK, left)).head(left)
            left -= len(text)
            size += file.write(("\n".join(text) + "\n").encode())
    return size


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, choices=sorted(path.stem for path in FORMS.glob("*.tsv")))
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    began = time.perf_counter()
    size = generate(options.source, options.lines, options.out, options.seed)
    print(f"{options.lines:,} lines, {size / options.lines:.0f} bytes each, in {time.perf_counter() - began:.1f} s: {options.out}")


if __name__ == "__main__":
    main()
