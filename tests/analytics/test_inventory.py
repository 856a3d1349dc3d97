"""Inventory files as signals of a job."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pipeline.analytics.inventory import inventory_signals
from pipeline.analytics.job import EPOCH, MICROSECOND, SIGNAL
from pipeline.context.columns import INVENTORY, empty
from pipeline.context.files import read_context

FILE = """\
time,view,source,vm,uuid,host,state,mac,host_uuid
2026-11-24T06:00:00Z,running,esx01,WEB01,4217-AA,ESX01.example.org,poweredOn,00:50:56:AA:BB:CC,4C4C-1
2026-11-24T07:00:00+01:00,wire,esx01,,,esx01,,52:54:00:aa:bb:cc,
"""


def test_rows_of_lists_are_signals_with_canonical_names(tmp_path: Path) -> None:
    (tmp_path / "inventory-1.csv").write_text(FILE, encoding="utf-8")
    time = (datetime(2026, 11, 24, 6, tzinfo=UTC) - EPOCH) // MICROSECOND
    fields = {"vm.uuid": "4217-aa", "vm.network.mac": "00:50:56:aa:bb:cc", "vm.state": "running", "host.id": "4C4C-1"}
    running = {"role": "inventory", "rule": "running", "time": time, "event": "inventory-1.csv:2", "fact": None, "vm": "web01",
               "host": "esx01", "user": None, **fields}
    wire = running | {"rule": "wire", "event": "inventory-1.csv:3", "vm": None, "vm.uuid": None, "vm.state": None, "host.id": None,
                      "vm.network.mac": "52:54:00:aa:bb:cc"}
    assert inventory_signals(read_context(tmp_path).inventory).to_dicts() == [running, wire]


def test_a_host_that_was_looked_at_and_is_empty_is_a_look(tmp_path: Path) -> None:
    (tmp_path / "inventory.csv").write_text("time,view,host,vm\n2026-11-24T06:00:00Z,running,esx01,\n", encoding="utf-8")
    assert inventory_signals(read_context(tmp_path).inventory).select("rule", "host", "vm").rows() == [("running", "esx01", None)]


def test_no_lists_give_no_signals_and_the_same_columns() -> None:
    found = inventory_signals(empty(INVENTORY))
    assert found.is_empty() and found.columns[:len(SIGNAL)] == list(SIGNAL)
