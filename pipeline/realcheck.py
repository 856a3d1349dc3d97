"""`hypervigil realcheck TREE`: real logs in, figures out: how much is recognised, nothing lost, and agreement with others' expected ECS.

TREE is laid out like real_logs: one folder per source. Expected events are read where the tree has them: JSON with `input.message` and
`expected`, `*-expected*.json` beside a log, and `*.golden` of go-libaudit. Files that are not logs (tables, expectations, inventories) are
skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from rich.table import Table

from . import expectations
from .errors import HypervigilError
from .events import flatten, ndjson, to_dicts
from .expectations import Expected, Flat
from .kernel import detector
from .kernel.engine import Batch, Engine

# The fields whose agreement is measured. event.code and event.action count as one, which agrees when either does: products differ in which
# of the two holds the id.
COMPARED = ("@timestamp", "host.name", "process.name", "process.pid", "user.name", "source.ip", "event.outcome", "event.code|event.action")
# Folder of the tree (or of its captured/) -> parsers that its lines may belong to; the first takes lines without any mark of their own,
# such as messages whose header a collector has cut off.
FOLDERS = {"esxi": ("vmware-esxi",), "vcenter": ("vmware-vcenter",), "vcenter_vcsim": ("vmware-vcenter",), "auditd_virt": ("linux-auditd",),
           "auditd": ("linux-auditd",), "libvirt": ("libvirt-qemu", "linux-auditd"), "syslog_sshd": ("libvirt-qemu", "linux-auditd"),
           "aws_cloudtrail": ("aws-cloudtrail",)}
# Ends of names: notes, tables, expectations, and exports of an inventory (what is there, not what happened).
_NOT_LOGS = (".tsv", ".md", ".csv", ".golden", "-expected-partial.json", "-expected.json",
             "_info.json", "inventory_find.txt", "collect_vm_web01.json", "permissions.json", "roles.json", "sessions.json", "tasks.json")


@dataclass
class Source:
    """Figures of one source folder."""

    source: str
    files: int = 0
    lines: int = 0
    events: int = 0
    joined: int = 0
    quarantined: int = 0
    recognised: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    agreed: Counter[str] = field(default_factory=Counter)

    @property
    def conserved(self) -> bool:
        return self.lines == self.events + self.joined + self.quarantined

    @property
    def agreement(self) -> float | None:
        total = sum(self.compared.values())
        return sum(self.agreed.values()) / total if total else None

    def as_dict(self) -> dict[str, Any]:
        """Stable keys for machines."""
        return asdict(self) | {"compared": dict(self.compared), "agreed": dict(self.agreed), "conserved": self.conserved,
                               "recognised_share": self.recognised / self.events if self.events else None, "agreement": self.agreement}


@dataclass(frozen=True)
class Disagreement:
    """One field in which we and an expectation differ."""

    file: str
    event: int
    field: str
    expected: Any
    found: Any


def check_tree(tree: Path, engine: Engine, events: TextIO | None = None) -> tuple[list[Source], list[Disagreement], list[str]]:
    """Figures per source, the disagreements, and the problems met with single files (in words)."""
    sources: list[Source] = []
    disagreements: list[Disagreement] = []
    problems: list[str] = []
    for folder in _folders(tree):
        source = Source(str(folder.relative_to(tree)))
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(_NOT_LOGS)):
            try:
                disagreements += _check_file(path, tree, engine, source, events)
            except HypervigilError as error:
                problems.append(str(error))
        sources.append(source)
    return sources, disagreements, problems


def _folders(tree: Path) -> Iterator[Path]:
    for base in (tree, tree / "captured"):
        yield from sorted(p for p in base.glob("*") if p.is_dir() and p.name in FOLDERS)


def _check_file(path: Path, tree: Path, engine: Engine, source: Source, out: TextIO | None) -> list[Disagreement]:
    data, expected = expectations.read(path)
    source.files += 1
    batches = list(engine.process_bytes(data, datetime.fromtimestamp(path.stat().st_mtime, UTC), str(path.relative_to(tree)),
                                        _parser(data, engine, FOLDERS[Path(source.source).name])))
    found = []
    for batch in batches:
        _count(batch, source)
        found += list(to_dicts(batch.events)) if batch.events.height else []
    if out is not None:
        out.writelines(ndjson(event) + "\n" for event in found)
    return list(_compare(str(path.relative_to(tree)), expected, found, source))


def _count(batch: Batch, source: Source) -> None:
    source.lines += batch.lines
    source.events += batch.events.height
    source.quarantined += batch.quarantine.height
    source.joined += batch.joined
    source.recognised += int(batch.events.get_column("_recognised").sum()) if batch.events.height else 0


def _parser(data: bytes, engine: Engine, allowed: tuple[str, ...]) -> str:
    """The parser that the content votes for among those of the folder, else the folder's first."""
    known = {name: engine.parsers[name] for name in allowed if name in engine.parsers}
    return detector.winners_of(data, known) or next(iter(known))


def _compare(file: str, expected: list[Expected], found: list[Flat], source: Source) -> Iterator[Disagreement]:
    flat = [flatten(event) for event in found]
    for want in expected:
        number, event = _match(want, flat)
        for name in COMPARED:
            names = name.split("|")
            wanted = [want.fields[n] for n in names if want.fields.get(n) is not None]
            if not wanted:
                continue
            source.compared[name] += 1
            have = [event.get(n) for n in names]
            if any(_same(w, h) for w in wanted for h in have):
                source.agreed[name] += 1
            else:
                yield Disagreement(file, number, name, *(v[0] if len(v) == 1 else v for v in (wanted, have)))


def _match(want: Expected, events: list[Flat]) -> tuple[int, Flat]:
    """Our event that an expectation means: by its key, else the first; an empty one when there is none."""
    for number, event in enumerate(events):
        if want.key is None or _same(want.key[1], event.get(want.key[0])):
            return number, event
    return -1, {}


def _same(expected: Any, found: Any) -> bool:
    """Equal as values: times to the millisecond, numbers as numbers, text whatever its case."""
    if expected is None or found is None:
        return False
    a, b = (_instant(str(v)) for v in (expected, found))
    if a is not None and b is not None:
        return abs((a - b).total_seconds()) < 0.001
    return str(expected).lower() == str(found).lower()


def _instant(text: str) -> datetime | None:
    if len(text) < 19 or text[4:5] != "-":
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def write_disagreements(rows: list[Disagreement], path: Path) -> None:
    """A table (tab separated) of every field that differs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.write("file\tevent\tfield\texpected\tfound\n")
        file.writelines(f"{r.file}\t{r.event}\t{r.field}\t{r.expected!r}\t{r.found!r}\n" for r in rows)


def table(sources: list[Source]) -> Table:
    """The figures for a terminal."""
    columns = ("files", "lines", "events", "joined", "quarantined", "recognised", "conserved", "agreement")
    out = Table("source", box=None, header_style="dim")
    for name in columns:
        out.add_column(name, justify="right", no_wrap=True)
    for s in sources:
        share = f"{s.recognised / s.events:.1%}" if s.events else "-"
        agreement = "-" if s.agreement is None else f"{s.agreement:.1%}"
        out.add_row(s.source, str(s.files), f"{s.lines:,}", f"{s.events:,}", f"{s.joined:,}", f"{s.quarantined:,}", share,
                    "exactly" if s.conserved else "NO", agreement)
    return out
