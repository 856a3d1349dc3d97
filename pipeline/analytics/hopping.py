"""VM hopping (A1 of the design): logins, connections, guest operations, consoles and foreign disks as a graph, and the paths through it.

First pass, by pair (hops/ends.py, hops/edges.py): signals to edges between machines, placed at both ends as of their time. Kept are pairs
that are rare in the 30 days before, and crossings of tenants that no row of the segmentation allows. Machines whose work is to go
everywhere (bastions, scanners, configuration management, backup proxies) are left out by the policies.
Second pass, by the (UTC) day of a path's first hop (paths): a path is worth an alert with a score of `threshold` and three VMs, or two of
which the second is another tenant's and was reached through a manager or host. For each hop the best path that ends with it counts; paths
that share a hop are one alert, known by the first hop. A hop into another tenant that is in no such path is an alert by itself, one per
source machine, tenant and day.

What a block of a day sees are the edges of that day, of the day before (paths that began then take their hops away from later ones) and of
the day after (a path lasts a day at most): three copies of few edges, since a habit is none. Nothing older bears on an alert, so any cut of
the history gives the same alerts, and days are searched side by side. Every edge costs at most `open_paths` comparisons: time is linear in
the edges, n log n for sorting. Nothing is joined with itself.
Measured (second pass, tests/bench/jobs.py with 2,000,000 hits): 541,000 edges 12 s of CPU, as one in ten can be part of a path; where all
can and some machines have thousands (`many_edges` in tests/analytics/test_hopping.py), 1,000,000 edges 168 s.

detail: `path.vms`, `path.machines` (with managers and addresses), `path.hosts`, `path.hop_count`, `path.users`, `path.tenants`,
`path.places` (machine: its host and tenant), `path.hop_users` (of each hop), `same_host_hops`, `also` (other machines that were reached).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

import polars as pl

from ..context.columns import PLACE
from .hops import ends, words
from .hops.connected import connected
from .hops.edges import EDGES, crossings, judge
from .hops.parameters import DAY, ROLES, Hopping
from .hops.paths import Hop, Place, Relate, Relation, Search, found, joined
from .job import FINDINGS, Job, Pass

c = pl.col
FLAGS = ("same_host", "tenant_cross", "segment_cross", "zone_up")


def by_day(edges: pl.DataFrame, p: Hopping) -> pl.DataFrame:
    """Edges under the day of each path they may bear on: the day before (as a hop of it), their own, and the day after (as its rival)."""
    del p
    days = pl.concat_list(*((c("time") // DAY + shift) for shift in (-1, 0, 1)))
    return edges.with_columns(days.alias("key")).explode("key", empty_as_null=True).with_columns(c("key").cast(pl.String))


def search(edges: pl.DataFrame, p: Hopping, horizon: int) -> pl.DataFrame:
    """Edges of whole days to FINDINGS."""
    del horizon  # a path that goes on is replaced by its id
    relate = _relate(p)
    rows = [row for (day,), block in edges.partition_by("key", as_dict=True, maintain_order=True).items()
            for row in _of_day(int(str(day)), block, p, relate)]
    return pl.DataFrame(rows, schema=dict(FINDINGS), orient="row")


def _of_day(day: int, block: pl.DataFrame, p: Hopping, relate: Relate) -> Iterator[dict[str, Any]]:
    """Findings of one day: of paths that begin on it, and of single crossings on it."""
    if not block.select((c("time") // DAY == day).any()).item():
        return
    ordered = block.sort("time", "event", "from.name", "to.name").with_row_index("order")
    paths = found(list(_hops(connected(ordered, p))), p, relate)
    earlier = {hop.order for path in paths if path.hops[0].day < day for hop in path.hops}
    mine = [path for path in paths if path.hops[0].day == day and any(hop.order not in earlier for hop in path.hops)]
    for group in joined(mine):
        yield words.of_paths(group, p)
    told = {hop.order for path in paths for hop in path.hops}
    single = ordered.filter((c("time") // DAY == day) & c("tenant_cross") & ~c("order").is_in(list(told)))
    for _, hops in single.group_by("from.name", "to.tenant", maintain_order=True):
        alone = list(_hops(hops))
        walks = sorted((Search(p, relate).first(hop) for hop in alone), key=lambda path: path.rank)
        yield words.of_crossings(alone, walks, int(hops.select(c("days").min()).item()), p)


def _hops(edges: pl.DataFrame) -> Iterator[Hop]:
    columns = {name: edges.get_column(name).to_list() for name in edges.columns}
    places, goals, relations = (list(zip(*(columns[name] for name in names), strict=True)) for names in (
        [f"from.{name}" for name in PLACE], [f"to.{name}" for name in PLACE], FLAGS))
    plain = ("time", "event", "kind", "who", "service", "through", "from.name", "to.name", "from.is_vm", "to.is_vm")
    return map(Hop._make, zip(*(columns[name] for name in plain), places, goals, columns["rarity"], relations, columns["guestop_bypass"],
                              columns["order"], strict=True))


def _relate(p: Hopping) -> Relate:
    """What a hop through a manager or host crosses, seen from the VM that the path was in before."""
    @lru_cache(maxsize=65536)
    def between(place: Place, goal: Place) -> Relation:
        row = {f"{end}.{name}": value for end, values in (("from", place), ("to", goal))
               for name, value in zip(PLACE, values, strict=True)}
        ends = pl.DataFrame([row], schema=dict.fromkeys(row, pl.String)).with_columns(pl.lit(None, pl.Int64).alias("port"))
        same_host, tenant_cross, segment_cross, zone_up = ends.select(crossings("from", "to", p)).select(FLAGS).row(0)
        return bool(same_host), bool(tenant_cross), bool(segment_cross), bool(zone_up)

    return lambda place, hop: between(place, hop.goal)


def _look_back(p: Hopping) -> timedelta:
    """A path began at most two days before its last hop (days are counted whole); its rivals another day before; and their habits."""
    return timedelta(days=p.history_days + 4)


JOB = Job(
    type="vm_hopping", title="Paths from VM to VM", roles=ROLES, parameters=Hopping, fields=ends.FIELDS,
    located=ends.LOCATED, look_back=_look_back,
    passes=(Pass(keyed=ends.keyed, judge=judge, columns=EDGES), Pass(keyed=by_day, judge=search, columns=FINDINGS)))
