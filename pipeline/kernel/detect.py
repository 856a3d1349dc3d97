"""All rules over a batch of events in one pass.

A rule is evaluated only on the rows that could match it. Three gates narrow the rows, each of which may let too much through but
never too little (a property test compares with every rule on every event):

1. log source: the rule's `logsource` against that of the event's dataset;
2. required values: where every way to match demands one of some values of a short field such as event.action, rows are sorted
   once by that value and the rule sees its own values only;
3. required texts: where every way to match demands that a field holds one of some texts, one pass over the field finds the rows
   that hold any text of any such rule. Where only the branches of an `or` have gates, the rule passes through each.

On the rows left, each distinct term of the rules is one boolean column, computed once, and hits come out as sparse row numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from ..sigma.compile import compile_rule
from ..sigma.load import Rule
from ..sigma.terms import Node, Term, combine, expression, fields, prepare, terms
from .prefilter import EqualityGate, Gate, TextGate, gates_of

HITS = {"rule_id": pl.String(), "event_index": pl.UInt32()}


@dataclass(frozen=True)
class Compiled:
    """A rule ready to run; picklable, so that it travels to Spark workers."""

    id: str
    node: Node
    logsource: Mapping[str, str]
    gates: tuple[Gate, ...]


class Detector:
    """All rules, compiled.

    `logsources` maps event.dataset to the log source of its parser; a rule applies to the datasets whose log source has all of the
    rule's own. Without it every rule applies to every event. Raises ContentError for a rule that does not compile.
    """

    def __init__(self, rules: Iterable[Rule], logsources: Mapping[str, Mapping[str, str]] | None = None) -> None:
        nodes = [(rule, compile_rule(rule)) for rule in rules]
        self._rules = [Compiled(rule.id, node, dict(rule.logsource), gates_of(node)) for rule, node in nodes]
        self._logsources = logsources

    def detect(self, events: pl.DataFrame) -> pl.DataFrame:
        """Hits of a flat frame: `rule_id` and `event_index` (the row's number), sorted by row, then by the order of the rules."""
        found: list[tuple[int, pl.Series]] = []
        if events.is_empty():
            return pl.DataFrame(schema=HITS)
        read = _only(events, {name for rule in self._rules for term in terms(rule.node) for name in fields(term)})
        for rules, rows in self._by_logsource(events):
            part = read if rows is None else read[rows]
            for number, hits in self._gated(rules, part):
                found.append((number, hits if rows is None else rows.gather(hits)))
        if not found:
            return pl.DataFrame(schema=HITS)
        frames = [pl.DataFrame({"event_index": hits}).select(order=pl.lit(number), event_index="event_index") for number, hits in found]
        every = pl.concat(frames).unique().sort("event_index", "order")
        ids = pl.Series([rule.id for rule in self._rules])
        return pl.DataFrame({"rule_id": ids.gather(every["order"]), "event_index": every["event_index"]}, schema=HITS)

    def hits_by_event(self, events: pl.DataFrame) -> pl.DataFrame:
        """The same hits as sparse lists: `event_index`, `rule_ids`; only events with a hit."""
        return self.detect(events).group_by("event_index", maintain_order=True).agg(pl.col("rule_id").alias("rule_ids"))

    def _by_logsource(self, events: pl.DataFrame) -> Iterable[tuple[list[int], pl.Series | None]]:
        """Numbers of the rules that apply and the rows (None: all) they apply to, one pair per distinct set of rules."""
        everything = list(range(len(self._rules)))
        if self._logsources is None:
            return [(everything, None)]
        if "event.dataset" not in events.columns:
            return [([n for n in everything if not self._rules[n].logsource], None)]
        datasets = events["event.dataset"].unique().to_list()
        by_rules: dict[tuple[int, ...], list[str | None]] = {}
        for dataset in datasets:
            source = self._logsources.get(dataset or "", {})
            applying = tuple(n for n in everything if self._rules[n].logsource.items() <= source.items())
            by_rules.setdefault(applying, []).append(dataset)
        if len(by_rules) == 1:
            return [(list(rules), None) for rules in by_rules]
        column = pl.col("event.dataset")
        return [(list(rules), events.select(column.is_in(names, nulls_equal=True).arg_true()).to_series())
                for rules, names in by_rules.items() if rules]

    def _gated(self, numbers: Sequence[int], events: pl.DataFrame) -> Iterable[tuple[int, pl.Series]]:
        """(number of a rule, rows it matches). A rule with several gates is evaluated, and may hit a row, once for each."""
        equality: dict[str, dict[int, EqualityGate]] = {}
        texts: dict[str, dict[int, TextGate]] = {}
        for number in numbers:
            for gate in self._rules[number].gates:
                if isinstance(gate, EqualityGate):
                    equality.setdefault(gate.field, {})[number] = gate
                else:
                    texts.setdefault(gate.field, {})[number] = gate
        for by_value in equality.values():
            for rules, rows in EqualityGate.split(by_value, events):
                yield from self._evaluate(rules, events, rows)
        for by_text in texts.values():
            yield from self._evaluate(list(by_text), events, TextGate.rows(list(by_text.values()), events))
        yield from self._evaluate([number for number in numbers if not self._rules[number].gates], events, None)

    def _evaluate(self, numbers: list[int], events: pl.DataFrame, rows: pl.Series | None) -> Iterable[tuple[int, pl.Series]]:
        """Each distinct term once, then the rules over those columns."""
        if not numbers or (rows is not None and rows.is_empty()):
            return
        names: dict[Term, str] = {}
        for number in numbers:
            for term in terms(self._rules[number].node):
                names.setdefault(term, f"term {len(names)}")
        some = _only(events, {name for term in names for name in fields(term)})
        frame = prepare(some if rows is None else some[rows], set(names))
        columns = frame.select(expression(term).alias(name) for term, name in names.items())
        results = columns.select(combine(self._rules[n].node, lambda term: pl.col(names[term])).alias(str(n)) for n in numbers)
        for number in numbers:
            hits = results[str(number)].arg_true()
            if len(hits):
                yield number, hits if rows is None else rows.gather(hits)


def _only(events: pl.DataFrame, names: set[str]) -> pl.DataFrame:
    """Those columns, as far as they are there; one column at least, to keep the number of rows."""
    return events.select([name for name in events.columns if name in names] or events.columns[:1])
