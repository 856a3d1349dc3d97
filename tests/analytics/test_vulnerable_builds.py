"""Which builds are open to what, and what is refused in the table that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.analytics.escape.builds import HEADER, candidates, load_holes, read_holes
from pipeline.errors import ContentError


@pytest.mark.parametrize(("told", "cve", "open_"), [
    ("esx 8.0.3 24585382", "CVE-2025-22224", True),
    ("esx 8.0.3 24585383", "CVE-2025-22224", False),
    ("esx 8.0.2 24585300", "CVE-2025-22224", False),  # its own lane, although the number is below the fix of 8.0.3
    ("esx 8.0.1 24585300", "CVE-2025-22224", True),
    ("esx 7.0.3 24585291", "CVE-2025-22224", False),
    ("esx 6.7.0 1", "CVE-2025-22224", False),  # no source says
    ("esx 8.0.1 23299997", "CVE-2024-22252", False),
    ("esx 8.0.2 23305544", "CVE-2024-22252", True),
    ("esx 9.0.2 25595024", "CVE-2026-47876", True),
    ("esx 9.1.0 25557999", "CVE-2026-47876", False),
    ("qemu 2.3.0", "CVE-2015-3456", True),
    ("qemu 2.10.0", "CVE-2015-3456", False),  # numbers, not text
    ("qemu 5.1.0", "CVE-2020-14364", True),
    ("qemu 5.2", "CVE-2020-14364", True),  # not known to be whole
    ("qemu 5.2.0", "CVE-2020-14364", False),
    ("esx 8.0.3", "CVE-2025-22224", False)])
def test_a_build_is_open_below_the_fix_of_its_lane(told: str, cve: str, open_: bool) -> None:
    assert (cve in candidates(told)) == open_


def test_the_table_has_the_advisories_of_the_design_note() -> None:
    held = {hole.cve for hole in load_holes()}
    assert {"CVE-2025-22224", "CVE-2025-22225", "CVE-2025-22226", "CVE-2024-22252", "CVE-2024-22253", "CVE-2024-22254", "CVE-2024-22255",
            "CVE-2015-3456", "CVE-2019-14378", "CVE-2020-14364", "CVE-2026-47876"} <= held


@pytest.mark.parametrize(("rows", "words"), [
    ("a,b\n", "columns must be"),
    ("CVE-2025-1,esx,8.0,1,x\n", "5 cells"),
    ("CVE-2025-22224,xen,8.0,1,x,y\n", "one of the products"),
    ("2025-22224,esx,8.0,1,x,y\n", "CVE id"),
    ("CVE-2025-22224,esx,8.0,1,x,\n", "a source"),
    ("CVE-2025-22224,esx,8.0,U3d,x,y\n", "numbers with dots"),
    ("CVE-2025-22224,esx,8.0,1,x,y\nCVE-2025-22224,esx,8.0,2,x,y\n", "two rows")])
def test_what_cannot_be_right_is_refused_with_its_row(tmp_path: Path, rows: str, words: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(rows if rows.startswith("a,") else ",".join(HEADER) + "\n" + rows)
    with pytest.raises(ContentError, match=words) as refused:
        read_holes(table)
    assert refused.value.line == (1 if rows.startswith("a,") else 1 + rows.count("\n"))
