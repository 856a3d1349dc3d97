"""Files as seekable UTF-8 bytes: local paths and s3, gs, abfs, hdfs URLs alike; gzip, zstd, BOM and UTF-16 undone."""

from __future__ import annotations

import codecs
import hashlib
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.fs as pafs
import zstandard

from ..errors import InputError
from .patterns import LIBRARY

HEAD = 256 * 1024
_OCTET = re.compile(rb"\d{1,6} <\d{1,3}>")
_ISO = re.compile(LIBRARY["ISO"][0].encode())
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


@dataclass(frozen=True)
class FileInfo:
    """What is known of a file from its head: enough to read any byte range of it alike."""

    path: str
    size: int  # bytes on disk
    identity: str  # hash of the first line: stays when the file grows or is renamed
    encoding: str  # utf-8, utf-8-sig, utf-16-le, utf-16-be
    compression: str | None  # gzip, zstd
    octet_counted: bool
    reference: datetime  # completes times without year or date: first full time in the file, else its modification time
    head: bytes  # first bytes, decompressed, UTF-8

    @property
    def splittable(self) -> bool:
        """Whether byte ranges of the stored file are byte ranges of the text."""
        return self.compression is None and self.encoding == "utf-8" and not self.octet_counted


def filesystem(path: str) -> tuple[pafs.FileSystem, str]:
    """The pyarrow file system of a path or URL, and the path within it."""
    return cast(tuple[pafs.FileSystem, str], pafs.FileSystem.from_uri(path) if "://" in path else (pafs.LocalFileSystem(), path))


def describe(path: str) -> FileInfo:
    """Read the head of a file. Raises InputError when it cannot be read."""
    try:
        system, inner = filesystem(path)
        stat = system.get_file_info(inner)
        if stat.type != pafs.FileType.File:
            raise InputError("not a file" if stat.type != pafs.FileType.NotFound else "no such file", path)
        with system.open_input_file(inner) as file:
            raw = file.read(HEAD)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"cannot be read: {error}", path) from None
    return inspect(path, raw, stat.size, stat.mtime.astimezone(UTC) if stat.mtime else datetime.now(UTC))


def inspect(path: str, raw: bytes, size: int, modified: datetime) -> FileInfo:
    """What the first bytes of a file tell; `modified` completes times where the file names no year."""
    compression = "gzip" if raw[:2] == b"\x1f\x8b" else "zstd" if raw[:4] == b"\x28\xb5\x2f\xfd" else None
    head = b"".join(_decompress(iter([raw]), compression, partial=True)) if compression else raw
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), _guess(head))
    text = head.decode(encoding, "replace").lstrip("\ufeff").encode() if encoding != "utf-8" else head
    first = next((line for line in text.split(b"\n") if line.strip()), b"")
    identity = hashlib.blake2b(first[:4096], digest_size=8).hexdigest()
    return FileInfo(path, size, identity, encoding, compression, bool(_OCTET.match(text)), _reference(text, modified), text)


def _guess(head: bytes) -> str:
    """UTF-16 without a byte order mark shows as a zero in every second byte."""
    sample = head[:4096]
    if len(sample) >= 16 and sample[1::2].count(0) > len(sample) * 0.4:
        return "utf-16-le"
    if len(sample) >= 16 and sample[::2].count(0) > len(sample) * 0.4:
        return "utf-16-be"
    return "utf-8"


def _reference(head: bytes, modified: datetime) -> datetime:
    for match in _ISO.finditer(head[:65536]):
        try:
            return datetime.fromisoformat(match.group()[:19].decode().replace(" ", "T")).replace(tzinfo=UTC)
        except ValueError:
            continue
    return modified


class Truncated(Exception):
    """The compressed stream ends early or is damaged."""


def _decompress(chunks: Iterator[bytes], compression: str | None, partial: bool = False) -> Iterator[bytes]:
    """Decompressed bytes; raises Truncated at a damaged end unless `partial`."""
    if compression is None:
        yield from chunks
        return
    make = (lambda: zlib.decompressobj(31)) if compression == "gzip" else (lambda: zstandard.ZstdDecompressor().decompressobj())
    decoder, complete = make(), True
    try:
        for chunk in chunks:
            while chunk:
                yield decoder.decompress(chunk)
                complete = decoder.eof
                chunk = decoder.unused_data if decoder.eof else b""
                if decoder.eof:
                    decoder = make()
    except (zlib.error, zstandard.ZstdError) as error:
        if not partial:
            raise Truncated(str(error)) from None
    if not complete and not partial:
        raise Truncated("ends before its end mark")


@dataclass
class OpenFile:
    """Seekable UTF-8 text bytes of a file; `damage` says why its end is missing, if it is."""

    file: BinaryIO
    size: int
    damage: str | None = None


def open_text(info: FileInfo) -> OpenFile:
    """Open a file for range reads. What is not plain UTF-8 is decoded once into a temporary file. Raises InputError."""
    system, inner = filesystem(info.path)
    try:
        raw = system.open_input_file(inner)
        if info.splittable:
            return OpenFile(cast(BinaryIO, raw), raw.size())
        with raw:
            return spool(info, iter(lambda: raw.read(1 << 20), b""))
    except OSError as error:
        raise InputError(f"cannot be read: {error}", info.path) from None


def spool(info: FileInfo, chunks: Iterator[bytes]) -> OpenFile:
    """Decompress, decode and unframe a stream into a temporary file of plain UTF-8 lines."""
    # The open file is handed to the caller, which closes it.
    out = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=64 << 20))
    decoder = codecs.getincrementaldecoder("utf-8-sig" if info.encoding.startswith("utf-8") else info.encoding)("replace")
    damage, first = None, True
    try:
        for chunk in _decompress(chunks, info.compression):
            if info.encoding == "utf-8":
                out.write(chunk)
                continue
            text = decoder.decode(chunk)
            if first and text:
                text, first = text.lstrip("\ufeff"), False
            out.write(text.encode())
    except Truncated as error:
        damage = f"damaged {info.compression} file: {error}"
    size = out.tell()
    if info.octet_counted:
        out.seek(0)
        lines = unframe(out.read())
        out.seek(0)
        out.truncate()
        out.write(lines)
        size = out.tell()
    out.seek(0)
    return OpenFile(out, size, damage)


def unframe(data: bytes) -> bytes:
    """RFC 6587 octet-counted frames to lines: newlines inside a frame become `#012`, as rsyslog writes them.

    A count that does not lead to another frame is not trusted: the text up to the next newline is kept as it is.
    """
    frames, position = [], 0
    while position < len(data):
        count = _OCTET.match(data, position)
        if count:
            digits = data.index(b" ", position)
            end = digits + 1 + int(data[position:digits])
            if end == len(data) or _OCTET.match(data, end) or _OCTET.match(data, end + 1):
                frames.append(data[digits + 1 : end].rstrip(b"\n").replace(b"\n", b"#012"))
                position = end
                continue
        newline = data.find(b"\n", position)
        end = len(data) if newline < 0 else newline
        if end > position:
            frames.append(data[position:end])
        position = end + 1
    return b"\n".join(frames) + b"\n" if frames else b""
