"""Whether a text is an address in a network, as a Polars expression."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network

import polars as pl

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_FOUR = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_HEX = "[0-9A-Fa-f]{1,4}"
_ADDRESS = {
    4: f"^{_FOUR}$",
    6: f"^(?:(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{6}}{_FOUR}|(?:{_HEX}(?::{_HEX})*)?::(?:(?:{_HEX}:)*(?:{_HEX}|{_FOUR}))?)(?:%.+)?$"}
_QUAD = r"[0-9]+(?:\.[0-9]+){3}$"


def in_network(x: pl.Expr, network: IPv4Network | IPv6Network) -> pl.Expr:
    """The groups that the prefix covers are compared as numbers, the last one masked."""
    bits = 8 if network.version == 4 else 16
    passed = x.str.contains(_ADDRESS[network.version])
    if network.version == 6:
        passed = passed & (x.str.count_matches(":", literal=True) <= 8)
    group_of = _octets(x) if network.version == 4 else _groups(x)
    for group in range(-(-network.prefixlen // bits)):
        covered = min(bits, network.prefixlen - group * bits)
        mask = (1 << bits) - (1 << (bits - covered))
        wanted = int(network.network_address) >> (network.max_prefixlen - (group + 1) * bits) & mask
        passed = passed & ((group_of(group) & mask) == wanted)
    return passed


def _octets(x: pl.Expr) -> Callable[[int], pl.Expr]:
    parts = x.str.split(".")
    return lambda index: parts.list.get(index, null_on_oob=True).str.to_integer(strict=False)


def _groups(x: pl.Expr) -> Callable[[int], pl.Expr]:
    """A group that `::` leaves out is zero: groups are counted from the left before it and from the right after it."""
    quad = x.str.extract(f"({_QUAD})")
    halves = x.str.replace(_QUAD, "0:0").str.split("::")
    head, tail = (side.str.split(":") for side in (halves.list.get(0), halves.list.get(1, null_on_oob=True)))

    def group(index: int) -> pl.Expr:
        sides = (head.list.get(index, null_on_oob=True), tail.list.get(index - 8, null_on_oob=True))
        texts = [pl.when(text != "").then(text) for text in sides]
        number = pl.coalesce(*texts, pl.lit("0")).str.to_integer(base=16, strict=False)
        if index < 6:
            return number
        octet = _octets(quad)  # the IPv4 address at the end of an IPv6 one is its last two groups
        return pl.coalesce(octet(2 * index - 12) * 256 + octet(2 * index - 11), number)

    return group
