"""The jobs over a folder of logs without Spark: the kernel's hits, canonical names, as-of placement, and the pure passes of each job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.analytics.documents import Ready, ready
from pipeline.analytics.inventory import ROLE, inventory_signals
from pipeline.analytics.passes import as_signals, field_types, findings
from pipeline.context import addresses, moves, names
from pipeline.context.files import Context, read_context
from pipeline.context.lookup import as_of
from pipeline.context.placement import absences, placement
from pipeline.context.tenants import assigned
from pipeline.kernel.engine import Engine
from pipeline.schema import BY_NAME
from pipeline.sigma.catalogue import Catalogue, load_catalogue
from pipeline.sigma.jobs import JobRule

c = pl.col
PLACEMENT = "placement"  # the type of the document that says which rules tell where machines are


@dataclass(frozen=True)
class Reader:
    """The catalogue, and what to read of it for some types of jobs."""

    catalogue: Catalogue
    engine: Engine
    jobs: tuple[JobRule, ...]
    places: tuple[JobRule, ...]

    @classmethod
    def of(cls, types: Iterable[str]) -> Reader:
        catalogue, wanted = load_catalogue(), set(types)
        return cls(catalogue, Engine(), tuple(job for job in catalogue.jobs if job.type in wanted),
                   tuple(job for job in catalogue.jobs if job.type == PLACEMENT))

    @property
    def names(self) -> Mapping[str, str]:
        return {rule.id: rule.name or Path(rule.path).stem for rule in self.catalogue.rules}

    def hits(self, logs: Iterable[Path], fields: Iterable[str], principals: Mapping[str, str]) -> pl.DataFrame:
        """Hits of all rules that are read: `rule_id`, `time`, `event`, `fact`, `vm`, `host`, `user` and fields in ECS."""
        wanted = {rule for job in (*self.jobs, *self.places) for rule in job.reads}
        detector = self.engine.detector(rule for rule in self.catalogue.rules if rule.id in wanted)
        types = field_types(sorted({*fields, *names.FIELDS, *moves.FIELDS} & BY_NAME.keys()))
        parts = []
        for path in logs:
            for batch in self.engine.process_file(str(path)):
                matched = detector.detect(batch.events)
                rows = batch.events[matched.get_column("event_index")].with_columns(matched.get_column("rule_id"))
                parts.append(_flat(rows, types))
        return names.canonical(pl.concat(parts), principals)


@dataclass(frozen=True)
class Found:
    """What the logs of a folder say: signals of each job by its type, and the names behind each event, in lower case."""

    jobs: tuple[Ready, ...]
    signals: Mapping[str, pl.DataFrame]
    names: Mapping[str, frozenset[str]]
    looks: frozenset[int]  # times of inventories


def read(logs: Iterable[Path], folder: Path, reader: Reader, geoip: tuple[Path, ...] = ()) -> Found:
    """Signals of all jobs from logs and a folder of context."""
    context = read_context(folder)
    jobs = tuple(ready(reader.jobs, context.policies, geoip=tuple(map(str, geoip))))
    fields = {name for each in jobs for name in each.job.fields} | {
        each.address for one in jobs for each in one.job.located if each.address}
    hits = reader.hits(logs, fields, context.identities.principals)
    where = places(hits, reader, context)
    signals = {each.job.type: _signals(hits, each, reader, where, context.inventory) for each in jobs}
    return Found(jobs, signals, _names(hits, context.inventory), frozenset(context.inventory.get_column("time").unique()))


def places(hits: pl.DataFrame, reader: Reader, context: Context) -> pl.DataFrame:
    """Where machines and addresses were (columns.PLACEMENT), of what logs and inventories say."""
    told = [hits.filter(c("rule_id").is_in(rules)).with_columns(pl.lit(role).alias("role"), c("rule_id").alias("rule"))
            for document in reader.places for role, rules in document.rules.items()]
    rows = pl.concat(told) if told else hits.clear().with_columns(pl.lit("").alias("role"), pl.lit("").alias("rule"))
    said = pl.concat([moves.moves(rows), moves.inventory_moves(context.inventory)])
    machines = assigned(placement(pl.concat([said, absences(said, *moves.covered(context.inventory))])), context.tenants)
    facts = pl.concat([moves.address_facts(rows), moves.inventory_facts(context.inventory), context.addresses])
    return pl.concat([machines, addresses.located(addresses.held(facts), machines)])


def judged(rows: pl.DataFrame, each: Ready, horizon: int) -> pl.DataFrame:
    """Findings of a job over its signals; `horizon`: until when the sources were watched, microseconds."""
    return findings(rows, each.job, each.parameters, horizon)


def _signals(hits: pl.DataFrame, each: Ready, reader: Reader, where: pl.DataFrame, inventory: pl.DataFrame) -> pl.DataFrame:
    rows = hits.filter(c("rule_id").is_in(each.rule.reads))
    for one in each.job.located:
        asking = rows.with_columns(one.named.alias("?key"))
        kinds = ["vm"] if one.vm else ["ip", "mac"]
        rows = as_of(asking, where.filter(c("kind").is_in(kinds)), "?key", one.into).drop("?key")
    signals = as_signals(rows, each, reader.names)
    return pl.concat([signals, inventory_signals(inventory)], how="diagonal") if ROLE in each.job.roles else signals


def _names(hits: pl.DataFrame, inventory: pl.DataFrame) -> dict[str, frozenset[str]]:
    kept = [name for name in ("vm", "host", "user", "source.ip") if name in hits.columns]
    rows = [*hits.select("event", *kept).iter_rows(), *inventory.select("row", "vm", "host").iter_rows()]
    found: dict[str, frozenset[str]] = {}
    for event, *values in rows:
        found[event] = found.get(event, frozenset()) | {str(value).lower() for value in values if value}
    return found


def _flat(rows: pl.DataFrame, types: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    return rows.select(
        "rule_id", c("@timestamp").dt.epoch("us").alias("time"), c("event.id").alias("event"),
        _value(rows, "event.fact_id", pl.String).alias("fact"),
        *(_value(rows, name, dtype).alias(name) for name, dtype in types.items())).filter(c("time").is_not_null())


def _value(rows: pl.DataFrame, field: str, dtype: type[pl.DataType]) -> pl.Expr:
    if field not in rows.columns:
        return pl.lit(None, dtype)
    if isinstance(rows.schema[field], pl.List):
        return pl.when(c(field).list.len() > 0).then(c(field).list.join(", "))
    return c(field).cast(dtype)
