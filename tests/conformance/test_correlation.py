"""The correlation half of the suite through this engine, in memory and on Spark. And the suite itself is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline import correlate
from pipeline.conformance_correlations import Alert, check_correlations, problems_of, read_case, read_correlation_topics
from pipeline.kernel.normalise import to_arrow
from pipeline.schema import BY_NAME
from pipeline.sigma.correlations import OPERATORS, TYPES, Correlation, Threshold

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

README = Path(__file__).parent / "README.md"
TOPICS = read_correlation_topics()
CASES = [(path, case) for path, topic in TOPICS.items() for case in topic.cases]


def test_every_case_passes_in_memory() -> None:
    problems = [f"{proof.path.stem}: {proof.name}: {proof.problem}" for proof in check_correlations() if proof.problem]
    assert not problems, "\n".join(problems)


def test_every_case_passes_on_spark(spark: SparkSession) -> None:
    """A few runs of Spark for all cases: those that ask for an absence need a run for each time they were watched to."""
    jobs = []

    def judged(events: pl.DataFrame, hits: pl.DataFrame, correlations: Sequence[Correlation], until: datetime) -> pl.DataFrame:
        jobs.append(until)
        found = events[hits.get_column("event_index")]
        rows = to_arrow(found).append_column("rule_id", hits.get_column("rule_id").to_arrow(compat_level=pl.CompatLevel.oldest()))
        return correlate.findings(spark.createDataFrame(rows), correlations, until)

    problems = [f"{proof.path.stem}: {proof.name}: {proof.problem}" for proof in check_correlations(judged=judged) if proof.problem]
    assert not problems, "\n".join(problems)
    assert len(jobs) <= 5


def test_a_failure_is_told_in_words() -> None:
    case = next(case for _, case in CASES if case.name == "three are at least three")
    turned = case.model_copy(update={"alerts": tuple(alert.model_copy(update={"events": ("e1", "e2")}) for alert in case.alerts)})
    assert problems_of([turned]) == [
        "does not raise many of host.name esx1 (e1, e2; 3) and raises many of host.name esx1 (e1, e2, e3; 3). `gte`: The count must be "
        "greater than or equal the given value (sigma-correlation-rules-specification.md, Condition)"]
    refused = case.model_copy(update={"correlations": (case.correlations[0] | {"correlation": {"type": "event_count"}},)})
    assert "it is refused" in str(problems_of([refused, case])[0]) and problems_of([refused, case])[1] is None


# --- the data -----------------------------------------------------------------------------------------------------------------


def test_names_and_ids_are_unique() -> None:
    assert len({f"{path.stem}: {case.name}" for path, case in CASES}) == len(CASES) >= 300
    ids = Counter(document["id"] for _, case in CASES for document in (*case.rules, *case.correlations) if "id" in document)
    assert max(ids.values()) == 1, ids.most_common(3)


def test_every_type_has_every_condition() -> None:
    seen = {(correlation.type, operator) for correlation in _correlations() if isinstance(correlation.condition, Threshold)
            for operator in (*correlation.condition.bounds, *["range"] * (len(correlation.condition.bounds) > 1))}
    assert seen == {(kind, operator) for kind in TYPES for operator in (*OPERATORS, "range")}
    assert {each.type for each in _correlations() if not isinstance(each.condition, Threshold)} == {"temporal", "temporal_ordered"}


def _correlations() -> Iterator[Correlation]:
    for _, case in CASES:
        yield from read_case(case).correlations


def test_every_file_has_cases_with_and_without_an_alert() -> None:
    for path, topic in TOPICS.items():
        raised = [bool(case.alerts) for case in topic.cases]
        assert any(raised) and not all(raised), path.stem


@pytest.mark.parametrize("path", TOPICS, ids=[path.stem for path in TOPICS])
def test_fields_are_declared_with_the_types_of_the_schema(path: Path) -> None:
    topic = TOPICS[path]
    assert topic.fields == {name: BY_NAME[name].type + "[]" * BY_NAME[name].many for name in topic.fields}
    assert {name for case in topic.cases for event in case.events for name in event} - {"id"} <= set(topic.fields)
    assert topic.sentences and all(sentence in [case.spec for case in topic.cases] for sentence in topic.sentences)
    assert all(rule in [used for case in topic.cases for used in case.rules] for rule in topic.rules)


@pytest.mark.parametrize("path", TOPICS, ids=[path.stem for path in TOPICS])
def test_alerts_tell_of_their_events(path: Path) -> None:
    """First, last and count of an alert are those of the events that it lists."""
    for case in TOPICS[path].cases:
        times = {event["id"]: datetime.fromisoformat(event["@timestamp"]) for event in case.events}
        for alert in case.alerts:
            if isinstance(alert, Alert):
                own = [times[event] for event in alert.events]
                assert (alert.first, alert.last, alert.count) == (min(own), max(own), len(set(alert.events))), case.name


def test_readme_counts_the_cases() -> None:
    table = [f"| [{path.stem}](correlation/{path.name}) | {len(topic.cases)} | {topic.topic} |" for path, topic in TOPICS.items()]
    table.append(f"| all | {len(CASES)} | |")
    assert "\n".join(table) in README.read_text(encoding="utf-8"), "\n".join(table)
