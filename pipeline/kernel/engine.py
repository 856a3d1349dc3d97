"""The kernel's spine: one file range in, gated events out. The same code in a test, in `hypervigil parse` and in a Spark task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import polars as pl

from ..errors import ContentError
from ..sigma.load import Rule
from . import detector, files, framing, gate
from .decode import decode
from .detect import Detector
from .facts import load_facts
from .files import FileInfo, OpenFile
from .framing import RecordRules
from .json_records import is_ndjson, split_json
from .normalise import normalise
from .parse import run_stages
from .spec import ParserSpec, Signature, load_parsers

c = pl.col
# Columns that no stage reads or writes: rows move about in the stages, and each column that moves with them costs.
CARRIED = ("raw", "offset", "valid", "lines", "_header_time")
BLOCK = 32 * 1024 * 1024  # bytes of text per batch

# Records that no parser claims still become events, with header fields and the tag `unparsed`.
UNKNOWN = ParserSpec(
    id="unknown",
    title="Unknown source",
    dataset="unknown",
    logsource={},
    enable="-",
    detect=(Signature(pattern="."),),
    headers=("rfc5424", "bsd", "iso"),
)


@dataclass(frozen=True)
class Batch:
    """What one block of a file gave. raw lines = sum of events._lines + sum of quarantine.lines + blank lines, exactly.

    `events`: flat ECS columns plus `_parser`, `_recognised`, `_lines`; `quarantine`: columns of
    gate.QUARANTINE_SCHEMA; `lines`: raw lines read.
    """

    events: pl.DataFrame
    quarantine: pl.DataFrame
    lines: int

    @property
    def joined(self) -> int:
        """Lines that are part of another record, and blank lines."""
        return self.lines - self.events.height - self.quarantine.height


class Engine:
    """Parses files with the given parsers (all of the content folder by default)."""

    def __init__(self, parsers: Mapping[str, ParserSpec] | None = None) -> None:
        self.parsers = dict(load_parsers() if parsers is None else parsers)
        self.facts = load_facts()

    def spec(self, name: str) -> ParserSpec:
        """A parser by id. Raises ContentError for an unknown one."""
        if name not in self.parsers:
            raise ContentError(f"unknown parser {name!r}", hint="known: " + ", ".join(self.parsers))
        return self.parsers[name]

    def detector(self, rules: Iterable[Rule]) -> Detector:
        """All rules compiled against the datasets of these parsers."""
        return Detector(rules, {spec.dataset: spec.logsource for spec in self.parsers.values()})

    def process_file(self, path: str, start: int = 0, end: int | None = None, parser: str | None = None) -> Iterator[Batch]:
        """Events of the records that start in bytes [start, end) of a file, block by block.

        A file that is not plain UTF-8 lines (compressed, UTF-16, octet-counted, one JSON document) is read whole whatever the
        range, which must then start at 0. Raises InputError when the file cannot be read.
        """
        info = files.describe(path)
        yield from self.process_text(info, files.open_text(info), start, end, parser)

    def process_bytes(self, data: bytes, modified: datetime, name: str = "-", parser: str | None = None) -> Iterator[Batch]:
        """The same for bytes in memory; `modified` stands for the file's modification time."""
        info = files.inspect(name, data[: files.HEAD], len(data), modified)
        yield from self.process_text(info, files.spool(info, iter([data])), 0, None, parser)

    def process_text(self, info: FileInfo, text: OpenFile, start: int, end: int | None, parser: str | None) -> Iterator[Batch]:
        """The batches of an opened file; it is closed when the last one is taken. A damaged end becomes a quarantined note."""
        name = parser or detector.parser_of_file(info.head, self.parsers)
        with text.file:
            if self.is_document(info, name):
                text.file.seek(0)
                records = split_json(text.file.read())
                yield self.process_records(records, int(records.get_column("lines").sum()), info, name)
            else:
                yield from self._lines(text, info, name, start, text.size if end is None or not info.splittable else min(end, text.size))
        if text.damage:
            damage = pl.DataFrame({"raw": [text.damage], "offset": [text.size], "lines": [1], "_reasons": [[text.damage]]})
            yield Batch(pl.DataFrame(), _quarantine(info, name, damage), 1)

    def is_document(self, info: FileInfo, name: str | None) -> bool:
        """Whether the file is one JSON document rather than lines."""
        json = name is not None and self.spec(name).framing.records == "json"
        return json and not is_ndjson(info.head)

    def _lines(self, text: OpenFile, info: FileInfo, name: str | None, start: int, end: int) -> Iterator[Batch]:
        rules = self.record_rules(name)
        for position in range(start, end, BLOCK):
            records, lines = framing.read_records(text.file, text.size, position, min(position + BLOCK, end), rules)
            if lines:
                yield self.process_records(records, lines, info, name)

    def record_rules(self, name: str | None) -> RecordRules:
        """How lines become records for one parser, or for a mixed file (those of all parsers)."""
        specs = [self.spec(name)] if name else list(self.parsers.values())
        continuations = sorted({s.framing.continuation for s in specs if s.framing.continuation})
        return RecordRules(
            "|".join(f"(?:{r})" for r in continuations) or None, tuple(sorted({s.framing.join for s in specs if s.framing.join}))
        )

    def process_records(self, records: pl.DataFrame, lines: int, info: FileInfo, name: str | None) -> Batch:
        """Gate, parse, normalise and gate again one frame of records."""
        if records.is_empty():
            return Batch(pl.DataFrame(), pl.DataFrame(schema=gate.QUARANTINE_SCHEMA), lines)
        if name is not None:
            parts = {name: records}
        else:
            keyed = records.with_columns(detector.winners(records.get_column("raw"), self.parsers).fill_null(UNKNOWN.id).alias("_parser"))
            parts = {str(key[0]): part for key, part in keyed.partition_by("_parser", as_dict=True, include_key=False).items()}
        events, quarantine = [], []
        for parser, part in parts.items():
            spec = UNKNOWN if parser == UNKNOWN.id else self.spec(parser)
            good, broken = gate.split_broken(part, json=spec.framing.records == "json")
            parsed, refused = gate.split_contract(self.parse(good, spec, info))
            events.append(parsed)
            quarantine += [_quarantine(info, parser, broken), _quarantine(info, parser, refused)]
        return Batch(_in_order(events), pl.concat(quarantine), lines)

    def parse(self, records: pl.DataFrame, spec: ParserSpec, info: FileInfo) -> pl.DataFrame:
        """Records (columns raw, offset, valid, lines) to flat typed events in order of offset."""
        rows = records.with_row_index("_row").with_columns(pl.lit(info.path).alias("log.file.path"))
        decoded = decode(rows, spec.headers, spec.headers_not)
        if "@timestamp" in decoded.columns:
            decoded = decoded.rename({"@timestamp": "_header_time"})
        decoded = decoded.sort("_row")
        carried = decoded.select(n for n in CARRIED if n in decoded.columns)
        parsed = run_stages(decoded.drop(carried.columns), spec).hstack(carried)
        events = normalise(parsed, spec, info.reference, self.facts)
        unparsed = pl.concat_list(c("tags").fill_null([]), pl.lit(["unparsed"]))
        tags = c("tags") if events.get_column("_recognised").all() else pl.when(c("_recognised")).then(c("tags")).otherwise(unparsed)
        events = events.with_columns(
            event_id(info.identity).alias("event.id"),
            c("raw").alias("event.original"),
            c("offset").alias("log.offset"),
            tags.alias("tags"),
            pl.lit(spec.id).alias("_parser"),
            c("lines").alias("_lines"),
        )
        keep = {"_parser", "_recognised", "_lines", "_form", "raw", "offset", "lines"}
        return events.drop(n for n in events.columns if (n.startswith("_") or n == "valid") and n not in keep)


def event_id(identity: str) -> pl.Expr:
    """Identity of the file and byte offset: the same record always gets the same id, two identical lines get two."""
    return pl.concat_str(pl.lit(identity + "-"), c("offset").cast(pl.String))


def _in_order(events: list[pl.DataFrame]) -> pl.DataFrame:
    frame = events[0] if len(events) == 1 else pl.concat(events, how="diagonal").sort("log.offset")
    return frame.drop("raw", "offset", "lines", strict=False)


def _quarantine(info: FileInfo, parser: str | None, rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        return pl.DataFrame(schema=gate.QUARANTINE_SCHEMA)
    return rows.select(
        event_id(info.identity).alias("id"),
        pl.lit(info.path).alias("path"),
        c("offset"),
        c("raw"),
        c("_reasons").alias("reasons"),
        pl.lit(parser).alias("parser"),
        c("lines").cast(pl.UInt32),
    ).cast(gate.QUARANTINE_SCHEMA)  # type: ignore[arg-type]


@cache
def default_engine() -> Engine:
    """One engine per process with all parsers."""
    return Engine()
