"""What the linter must refuse: every rule of tests/broken_content/rules, with exactly the findings expected beside it.

`python tests/sigma/test_broken_content.py` writes the expected texts anew; read the difference before keeping it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.analytics.documents import check_jobs
from pipeline.schema import BY_NAME
from pipeline.sigma.catalogue import resolve
from pipeline.sigma.known import Known
from pipeline.sigma.lint import lint_catalogue
from pipeline.sigma.load import load_file

FOLDER = Path(__file__).resolve().parents[1] / "broken_content" / "rules"
RULES = sorted(FOLDER.glob("*.yml"))
KNOWN = Known(
    parsers=frozenset({"vmware-esxi", "aws-cloudtrail"}),
    logsources=({"product": "vmware", "service": "esxi"}, {"product": "aws", "service": "cloudtrail"}),
    # all fields but one, which nothing sets
    fields=tuple((source, frozenset(BY_NAME) - {"cloud.account.id"}) for source in (
        {"product": "vmware", "service": "esxi"}, {"product": "aws", "service": "cloudtrail"})),
    tables={"esx_audit.csv": frozenset({"vm.power.off", "vm.power.on"})}, parser_ids=frozenset({"ssh-login"}))


def findings(path: Path) -> str:
    """The findings as text. Those about cases count only for the rules that are about cases."""
    catalogue = resolve(load_file(path))
    errors = [*lint_catalogue(catalogue, KNOWN), *check_jobs(catalogue.jobs)]
    kept = [e for e in errors if path.name.startswith("cases-") or not str(e.path).endswith(".cases.yaml")]
    assert all(error.hint and error.line for error in kept), kept
    return "".join(f"{error}\n" for error in kept).replace(f"{FOLDER}/", "")


@pytest.mark.parametrize("path", RULES, ids=[path.stem for path in RULES])
def test_broken_rule_is_refused(path: Path) -> None:
    expected = path.with_suffix(".expected.txt").read_text(encoding="utf-8")
    assert expected.strip(), "a broken rule must have findings"
    assert findings(path) == expected


if __name__ == "__main__":
    for rule in RULES:
        rule.with_suffix(".expected.txt").write_text(findings(rule), encoding="utf-8")
