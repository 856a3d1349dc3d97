"""Networks against Python's ipaddress: addresses in every spelling, and texts that are none."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sigma.networks import in_network

numbers = st.one_of(st.integers(0, 2**128 - 1), st.integers(0, 2**32 - 1), st.integers(0xFFFF << 32, (0xFFFF << 32) + 2**32 - 1),
                    st.integers(0, 2**16).map(lambda low: (0xFE80 << 112) + low))


def _mixed(address: IPv6Address) -> str:
    """An IPv6 address that ends in an IPv4 address."""
    return address.exploded[:30] + str(IPv4Address(int(address) & 0xFFFFFFFF))


sixes = numbers.map(IPv6Address).flatmap(lambda a: st.sampled_from([str(a), str(a).upper(), a.exploded, _mixed(a)]))
fours = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
texts = st.one_of(sixes, fours, st.text("0123456789abcdef:.", max_size=20))
networks = st.one_of(
    st.tuples(numbers, st.integers(0, 128)).map(lambda pair: ip_network((pair[0], pair[1]), strict=False)),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: ip_network((pair[0], pair[1]), strict=False)))


def contained(text: str, network: str) -> bool:
    try:
        return ip_address(text) in ip_network(network)
    except ValueError:
        return False


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=20), networks)
def test_as_python_has_it(addresses: list[str], network: object) -> None:
    found = pl.DataFrame({"a": addresses}).select(in_network(pl.col("a"), ip_network(str(network))).fill_null(False)).to_series()
    assert found.to_list() == [contained(text, str(network)) for text in addresses]
