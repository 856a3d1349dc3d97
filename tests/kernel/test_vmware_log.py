"""Whose a vmware.log is: the file's folder on its datastore, and no other folder."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.kernel.engine import Engine

LINE = b"2026-01-04T16:19:46.001-08:00| vmx| I125: SnapshotVMX_TakeSnapshot start: 'snap one', deviceState=1, lazy=1\n"


@pytest.mark.parametrize("path, name", [
    ("/vmfs/volumes/ds1/web 01/vmware.log", "web 01"),
    ("/evidence/esx01/vmfs/volumes/5f1-2/web01/vmware-3.log.gz", "web01"),
    ("/logs/esx01/vmware.log", None),
])
def test_vm_of_a_vmware_log(path: str, name: str | None) -> None:
    (batch,) = Engine().process_bytes(LINE, datetime(2026, 3, 1, tzinfo=UTC), path, "vmware-esxi")
    assert batch.events.get_column("vm.name").to_list() == [name]
