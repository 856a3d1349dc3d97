"""Files of every wrapping are the same text: gzip, zstd, BOM, UTF-16, CRLF, octet counts; damaged ones say so."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from pipeline.errors import InputError
from pipeline.kernel import files

TEXT = "".join(f"<14>1 2026-03-01T10:00:0{i}Z esx01 prog - - - line {i} ü\n" for i in range(5))


def text_of(path: Path) -> tuple[str, str | None]:
    opened = files.open_text(files.describe(str(path)))
    with opened.file:
        return opened.file.read().decode(), opened.damage


@pytest.mark.parametrize(("name", "data"), [
    ("plain", TEXT.encode()),
    ("gzip", gzip.compress(TEXT.encode(), mtime=0)),
    ("two gzip members", gzip.compress(TEXT[:80].encode(), mtime=0) + gzip.compress(TEXT[80:].encode(), mtime=0)),
    ("zstd", zstandard.compress(TEXT.encode())),
    ("bom", b"\xef\xbb\xbf" + TEXT.encode()),
    ("utf-16 little endian", b"\xff\xfe" + TEXT.encode("utf-16-le")),
    ("utf-16 big endian", b"\xfe\xff" + TEXT.encode("utf-16-be")),
    ("utf-16 without bom", TEXT.encode("utf-16-le")),
    ("octet counted", b"".join(b"%d %s" % (len(line.encode()), line.encode()) for line in TEXT.splitlines(keepends=True))),
    ("octet counted without newlines", b"".join(b"%d %s" % (len(line.encode()), line.encode()) for line in TEXT.splitlines())),
])
def test_every_wrapping_gives_the_same_text(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert text_of(path) == (TEXT, None)


def test_a_newline_inside_an_octet_counted_frame_stays_in_its_record() -> None:
    assert files.unframe(b"9 <14>1 a\nb12 <14>1 second") == b"<14>1 a#012b\n<14>1 second\n"


def test_a_wrong_octet_count_loses_nothing() -> None:
    data = b"999 <14>1 first\n12 <14>1 second"
    assert files.unframe(data).split(b"\n")[:2] == [b"999 <14>1 first", b"<14>1 second"]


@pytest.mark.parametrize("data", [gzip.compress(TEXT.encode() * 50)[:-9], zstandard.compress(TEXT.encode() * 50)[:-6]])
def test_truncated_compression_keeps_what_is_readable_and_says_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(data)
    _, damage = text_of(path)
    assert damage is not None and damage.startswith("damaged")


@pytest.mark.parametrize("path", ["/nonexistent/file.log", "/etc"])
def test_what_cannot_be_read_is_a_clear_error(path: str) -> None:
    with pytest.raises(InputError, match=r"no such file|not a file"):
        files.describe(path)


def test_identity_stays_when_a_file_grows_or_is_renamed(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log.1"
    first.write_text(TEXT)
    second.write_text(TEXT + "more\n")
    assert files.describe(str(first)).identity == files.describe(str(second)).identity


def test_identity_differs_between_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text(TEXT)
    second.write_text(TEXT.replace("esx01", "esx02"))
    assert files.describe(str(first)).identity != files.describe(str(second)).identity
