"""The archive of Java classes: used when it is there, and no harm when it does not fit."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "classes.jsa"
    path.write_bytes(b"of another Java")
    monkeypatch.setattr(session, "ARCHIVE", path)
    return path


def test_java_goes_on_without_an_archive_that_does_not_fit(rubbish: Path) -> None:
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if os.environ.get("JAVA_HOME") else shutil.which("java")
    if not java:
        pytest.skip("no Java: run `make test`, which finds or installs one")
    done = subprocess.run([java, *session._archived().split(), "-version"], capture_output=True, text=True, check=True)
    assert str(rubbish) in session._archived()
    assert done.stdout == ""
    assert "version" in done.stderr


def test_without_an_archive_nothing_is_asked_of_java(rubbish: Path) -> None:
    rubbish.unlink()
    assert session._archived() == ""


@pytest.mark.spark
def test_spark_starts_from_the_archive(spark: SparkSession) -> None:
    if not session.ARCHIVE.exists():
        pytest.skip("no archive: `make test` makes it")
    jvm: Any = spark._jvm
    arguments = list(jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getInputArguments())
    assert f"-XX:SharedArchiveFile={session.ARCHIVE}" in arguments
