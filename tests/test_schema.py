"""The one table of fields: what is generated from it is current, and its parts agree with each other and with ECS."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline import schema, shapes

ROOT = Path(__file__).resolve().parents[1]
# Array-ness by ECS 8.17 (normalize: array) of the fields we use.
ECS_ARRAYS = {
    "tags",
    "event.category",
    "event.type",
    "host.ip",
    "process.args",
    "user.roles",
    "related.ip",
    "related.user",
    "related.hosts",
}


def test_generated_files_are_current() -> None:
    assert (ROOT / "deploy/schema.md").read_text() == shapes.markdown(), "run make generate"
    template = json.loads((ROOT / "deploy/elasticsearch/component-template.json").read_text())
    assert template == shapes.elasticsearch_template(), "run make generate"


def test_names_are_unique_and_no_leaf_is_also_a_group() -> None:
    names = [c.name for c in schema.COLUMNS]
    assert len(names) == len(set(names))
    groups = {name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)}
    assert not groups & set(names)


def test_arrays_follow_ecs() -> None:
    assert {c.name for c in schema.COLUMNS if c.many and c.ecs} == ECS_ARRAYS


def test_arrow_and_spark_and_template_have_every_field() -> None:
    def leaves(kind: pa.Schema | pa.StructType, prefix: str = "") -> set[str]:
        out: set[str] = set()
        for field in kind:
            out |= leaves(field.type, f"{prefix}{field.name}.") if pa.types.is_struct(field.type) else {prefix + field.name}
        return out

    assert leaves(shapes.arrow_schema()) == set(schema.BY_NAME)
    assert shapes.spark_ddl().count("STRING") == sum(c.type in ("keyword", "text", "ip") for c in schema.COLUMNS)


def test_the_model_takes_events_and_refuses_unknown_fields() -> None:
    model = shapes.event_model()
    assert (
        model.model_validate({"@timestamp": "2026-03-01T10:00:00Z", "source": {"port": 22}}).model_dump(by_alias=True)["source"]["port"]
        == 22
    )
    with pytest.raises(ValidationError):
        model.model_validate({"source": {"prot": 22}})
