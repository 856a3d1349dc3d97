"""Reads logs and others' expected ECS from a tree of real logs, in the shapes such trees have.

- `{"input": {"message": raw}, "expected": {...}}` (one record a file);
- a log with `<name>-expected*.json` beside it (`{"expected": [...]}`, matched by @timestamp);
- `*.golden` lists of go-libaudit (`sequence`, `record_type`, `data`), beside a log or a YAML of named records;
- JSON lines that wrap a raw line (`raw`) or an event (`log`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from .events import flatten

Flat = dict[str, Any]

# Words that others write for ECS's `failure`; a word with no ECS meaning is compared as it stands.
_OUTCOMES = {"fail": "failure", "failed": "failure"}


@dataclass(frozen=True)
class Expected:
    """Expected fields (dotted names) of one event, and how to find it among ours: by `key` field and value, or the only one (None)."""

    fields: Flat
    key: tuple[str, Any] | None = None


def read(path: Path) -> tuple[bytes, list[Expected]]:
    """The raw log bytes of a file of the tree, and what is expected of its events."""
    data = path.read_bytes()
    if path.suffix == ".json" and (pair := _input_expected(data)):
        return pair
    if path.suffix in (".yaml", ".yml"):
        return _named_records(data), list(_golden(path.with_suffix(".json.golden")))
    if path.suffix == ".jsonl":
        return _unwrap(data), []
    if path.suffix == ".json" and b'"SyslogMessage"' in data:
        rows = orjson.loads(data)
        return "\n".join(_sentinel(row) for row in rows).encode(), []
    golden = path.with_name(path.name + ".golden")
    return data, [*_golden(golden), *_beside(path)]


def _input_expected(data: bytes) -> tuple[bytes, list[Expected]] | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or "expected" not in document or "input" not in document:
        return None
    message = document["input"]["message"]
    return (message if isinstance(message, str) else orjson.dumps(message).decode()).encode(), [Expected(_flat(document["expected"]))]


def _beside(path: Path) -> Iterator[Expected]:
    for file in path.parent.glob(path.name + "-expected*.json"):
        for event in orjson.loads(file.read_bytes())["expected"]:
            fields = _flat(event)
            if "client.ip" in fields:  # ECS allows client or source; ours is source
                fields.setdefault("source.ip", fields["client.ip"])
            yield Expected(fields, ("@timestamp", fields.get("@timestamp")))


def _golden(path: Path) -> Iterator[Expected]:
    """go-libaudit: `sequence` finds the event; process, time and result are compared in our names."""
    if not path.exists():
        return
    for row in orjson.loads(path.read_bytes()):
        event = row.get("event", row)
        data, process = event.get("data", {}), event.get("process", {})
        fields: Flat = {"@timestamp": event.get("@timestamp")}
        fields["process.pid"] = process.get("pid", data.get("pid"))
        fields["process.name"] = process.get("name", data.get("comm"))
        result = event.get("result", data.get("result"))
        fields["event.outcome"] = {"success": "success", **_OUTCOMES}.get(str(result))
        effective = event.get("ecs", {}).get("user", {})
        fields["user.name"] = effective.get("name")
        if "event" in row:  # the list without it is one entry per record, where ours is one event per audit event
            fields["event.code"] = str(event["record_type"]).upper()
        yield Expected({k: v for k, v in fields.items() if v not in (None, "")}, ("auditd.sequence", event.get("sequence")))


def _named_records(data: bytes) -> bytes:
    tests = yaml.safe_load(data)["tests"]
    return "\n".join(text.strip() for text in tests.values()).encode()


def _unwrap(data: bytes) -> bytes:
    """JSON lines that hold a raw line under `raw`, an event under `log`, or are the events themselves."""
    out = []
    for line in data.splitlines():
        row = orjson.loads(line)
        inner = row.get("raw") or row.get("log") or row
        out.append(inner.encode() if isinstance(inner, str) else orjson.dumps(inner))
    return b"\n".join(out)


def _sentinel(row: dict[str, Any]) -> str:
    """A row of Sentinel's Syslog table as the syslog line it was made from."""
    pid = f"[{row['ProcessID']}]" if str(row.get("ProcessID", "null")).isdigit() else ""
    return f"{row['TimeGenerated']} {row['HostName']} {row['ProcessName']}{pid}: {row['SyslogMessage']}"


def _flat(event: dict[str, Any]) -> Flat:
    fields = flatten({k: v for k, v in event.items() if k != "message"})
    if (outcome := fields.get("event.outcome")) in _OUTCOMES:
        fields["event.outcome"] = _OUTCOMES[outcome]
    return fields
