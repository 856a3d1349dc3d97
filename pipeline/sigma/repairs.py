"""What pySigma 1.5.1 reads otherwise than the Sigma specification, put right for the engine and the exports alike.

Cases of tests/conformance show each. The classes are registered in pySigma's own tables: importing this module is all. Once the
backends of the exports allow pySigma 2, what that has put right itself (operators, bytes of Base64) can go from here.
"""

from __future__ import annotations

import re
import warnings
from base64 import b64encode
from itertools import product
from typing import Any

from pyparsing import Keyword, OpAssoc, alphanums, infix_notation
from sigma import conditions
from sigma.exceptions import SigmaValueError
from sigma.modifiers import (
    SigmaBase64Modifier,
    SigmaBase64OffsetModifier,
    SigmaModifier,
    SigmaUTF16BEModifier,
    SigmaUTF16Modifier,
    SigmaWideModifier,
    SigmaWindowsDashModifier,
    modifier_mapping,
    reverse_modifier_mapping,
)
from sigma.types import Placeholder, SigmaBool, SigmaExpansion, SigmaNumber, SigmaString, SpecialChars, type_map

Part = str | SpecialChars | Placeholder
Modifier = type[SigmaModifier[Any, Any]]


def _like(value: SigmaString, parts: list[Part]) -> SigmaString:
    """A text of the same kind (cased or not) with other parts; pySigma forgets `cased`."""
    made = type(value)()
    made.s = [part for part in parts if part != ""]
    return made._merge_strs()


# --- encodings: text that went through a UTF-16 modifier has one character for each byte -------------------------------------------


def _utf16(value: SigmaString, encoding: str, mark: str = "") -> SigmaString:
    """pySigma takes ASCII only, and puts the byte order mark of UTF-8 before UTF-16."""
    return _like(value, [mark, *(part.encode(encoding).decode("latin-1") if isinstance(part, str) else part for part in value.s)])


class Wide(SigmaWideModifier):
    """`wide`, and `utf16le`, the name that the specification has and pySigma does not."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _utf16(val, "utf-16-le")


class Utf16BE(SigmaUTF16BEModifier):
    """`utf16be`."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _utf16(val, "utf-16-be")


class Utf16(SigmaUTF16Modifier):
    """`utf16`."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _utf16(val, "utf-16-le", mark="\xff\xfe")


def _bytes(value: SigmaString, applied: list[Modifier]) -> bytes:
    """What Base64 encodes. pySigma encodes the backslash of an escaped wildcard too."""
    if not all(isinstance(part, str) for part in value.s):
        raise SigmaValueError("Base64 encoding of strings with wildcards is not allowed")
    return "".join(map(str, value.s)).encode("latin-1" if {Wide, Utf16BE, Utf16} & set(applied) else "utf-8")


class Base64(SigmaBase64Modifier):
    """`base64`."""

    def modify(self, val: SigmaString) -> SigmaString:
        return _like(val, [b64encode(_bytes(val, self.applied_modifiers)).decode()])


class Base64Offset(SigmaBase64OffsetModifier):
    """`base64offset`, cut by the number of bytes. pySigma counts characters."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        data = _bytes(val, self.applied_modifiers)
        codes = [b64encode(b" " * shift + data).decode() for shift in range(3)]
        return SigmaExpansion([
            _like(val, [code[self.start_offsets[shift]:self.end_offsets[(len(data) + shift) % 3]]]) for shift, code in enumerate(codes)])


# --- the other modifiers ----------------------------------------------------------------------------------------------------------

_DASHES = ("-", "/", "\u2013", "\u2014", "\u2015")
_DASH = re.compile(rf"\B([{''.join(_DASHES)}])\b")


class WinDash(SigmaWindowsDashModifier):
    """`windash`, from each dash to each. pySigma starts from `-` and `/` only."""

    def modify(self, val: SigmaString) -> SigmaExpansion:
        pieces = [_DASH.split(part) if isinstance(part, str) else [part] for part in val.s]  # every other piece of a text is a dash
        choices = product(*(_DASHES if number % 2 else (piece,) for some in pieces for number, piece in enumerate(some)))
        return SigmaExpansion([_like(val, list(parts)) for parts in choices])


class ExactNumber(SigmaNumber):
    """A number. pySigma rounds integers beyond 2^53."""

    def __post_init__(self, init_number: Any) -> None:
        super().__post_init__(init_number)
        if isinstance(init_number, int):
            self.number = init_number


def _of_any_value(modifier: Modifier) -> Modifier:
    """A generic modifier takes numbers and booleans too, as their text."""

    def apply(self: SigmaModifier[Any, Any], value: Any) -> list[Any]:
        scalar = type(value) in (ExactNumber, SigmaNumber, SigmaBool)
        return modifier.apply(self, SigmaString(str(value).lower()) if scalar else value)

    return type(modifier.__name__, (modifier,), {"apply": apply})


def _register() -> None:
    own: dict[str, Modifier] = {"wide": Wide, "utf16le": Wide, "utf16be": Utf16BE, "utf16": Utf16, "base64": Base64,
                                "base64offset": Base64Offset, "windash": WinDash}
    own |= {name: _of_any_value(modifier_mapping[name]) for name in ("contains", "startswith", "endswith", "cased")}
    modifier_mapping.update(own)
    reverse_modifier_mapping.update({modifier.__name__: name for name, modifier in own.items() if name != "utf16le"})
    type_map.update({int: ExactNumber, float: ExactNumber})
    # pySigma tries regexes by Python's `re`, which warns of what a later Python might read otherwise
    warnings.filterwarnings("ignore", "Possible (nested set|set)", FutureWarning, r"sigma\.types")
    # pySigma reads a selection named `notable` as `not able`: operators must be words of their own
    joins = ((conditions.ConditionNOT, "not", 1, OpAssoc.RIGHT), (conditions.ConditionAND, "and", 2, OpAssoc.LEFT),
             (conditions.ConditionOR, "or", 2, OpAssoc.LEFT))
    conditions.condition = infix_notation(  # type: ignore[no-untyped-call]
        conditions.operand,
        [(Keyword(word, ident_chars=alphanums + "_-"), arity, side, made.from_parsed) for made, word, arity, side in joins])


_register()
