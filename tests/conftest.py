"""What tests ask for: a Spark session for each process of pytest, real logs, and a browser, each skipped with a reason where missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import xdist

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
if not hasattr(sys.modules["__main__"], "__file__"):  # in a worker of xdist; without one pyspark believes to be run by doctest, and exits
    sys.modules["__main__"].__file__ = xdist.__file__


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one Spark session of this process, made by the pipeline itself: Delta, UTC, two cores."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # workers import `pipeline` too
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.skip("no Java: run `make test`, which finds or installs one")
    from pipeline.session import session as start

    session = start(master="local[2]", extra={"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))})
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real logs and vendor lists beside the checkout, which is not part of the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: real logs are not published with the project")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or pytest.skip("no Chromium: run `make test`, which installs one")
