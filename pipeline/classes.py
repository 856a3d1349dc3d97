"""`python -m hypervigil.classes`: keeps the Java classes that a run loads in one file, from which Java starts twice as fast.

Spark loads some twenty thousand classes; read from an archive (class data sharing, JEP 350) they cost a small run a quarter less
time. The archive fits one Java and one set of jars: Java checks that itself, and goes on without it when they have changed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from . import content, session
from .config import Settings
from .run import run


def write(archive: Path) -> None:
    """Run over a sample and keep the classes that it took.

    The archive is there whole or not at all. Raises LakeError when Spark does not start.
    """
    if not session.delta_jars():  # the first start of all downloads them: only after it is the class path what it will be
        session.stop(session.session())
        os.execv(sys.executable, [sys.executable, "-m", __spec__.name])
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        new = Path(folder) / archive.name
        spark = session.session(extra={"spark.driver.extraJavaOptions": f"{session.LAPTOP} -XX:ArchiveClassesAtExit={new} -Xlog:disable"})
        sample = min(content.folder("parsers").glob("*/samples/*.log"), key=lambda path: path.stat().st_size)
        run(Settings(inputs=(str(sample),), lake=f"{folder}/lake"), quiet=True, spark=spark)
        session.stop(spark)
        session.kill(patience=300)  # Java ends, and writes the archive
        new.replace(archive)


if __name__ == "__main__":
    write(session.ARCHIVE)
