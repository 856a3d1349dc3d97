"""Our own errors. Each names the file and, where known, the line of the content or input at fault."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

FULL = os.strerror(errno.ENOSPC)  # the words of a full disk, the same in Python and Java


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """A hint for a word that is not among those known: the nearest of them, else something to read."""
    near = get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]}?" if near else otherwise


@dataclass
class HypervigilError(Exception):
    """An error a user can act on.

    `message` says what is wrong, `path` and `line` (1-based) where, `hint` what to do about it.
    The command line prints it as one line and exits 1; it never becomes a stack trace.
    """

    message: str
    path: Path | str | None = None
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: " if self.path and self.line else f"{self.path}: " if self.path else ""
        message = " ".join(self.message.split()) if "\n" in self.message else self.message  # of other packages, some have several lines
        return f"{where}{message}" + (f" ({self.hint})" if self.hint else "")


class ContentError(HypervigilError):
    """A parser, rule, case or sample that is wrong."""


class InputError(HypervigilError):
    """A log file or folder that cannot be read."""


class LakeError(HypervigilError):
    """The lake cannot be read or written."""


class Stopped(HypervigilError):
    """The user pressed Ctrl-C."""
