"""Bounded search for paths through hops in order of time. No frames here: a hop is a small object, a path a tuple of hops.

A path goes on with a hop when that starts where the path ends, within the longest gap, and is of the same user; or of another, when the
path ends at a VM it reached shortly before (whoever takes a machine takes its accounts; of a manager, at which all are at work, that says
nothing). A user who works inside VMs through a manager stands at the manager all the time: there a guest operation goes on from the one
before. No machine is met twice, except that manager.

Each hop looks at no more than `open_paths` paths, each of at most `depth` hops: the cost is linear in the hops, whatever the graph; a
cross of all with all, or a join of hops with hops, would be quadratic at a machine with many of them. Paths that follow the same machines
and users from the same first hop of a day are one path that is renewed, so that repetitions do not crowd the others out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .parameters import DAY, GUEST_OPERATION, Hopping

Relation = tuple[bool, bool, bool, bool]  # same_host, tenant_cross, segment_cross, zone_up
Place = tuple[str | None, ...]


class Hop(NamedTuple):
    """An edge. `place` and `goal`: where source and target were (values of job.PLACE); `relation`: what it crosses by itself."""

    time: int
    event: str
    kind: str
    who: str | None
    service: bool
    through: bool
    source: str
    target: str
    source_is_vm: bool
    target_is_vm: bool
    place: Place
    goal: Place
    rarity: float
    relation: Relation
    bypass: bool
    order: int

    @property
    def day(self) -> int:
        return self.time // DAY


Rank = tuple[float, int, tuple[int, ...]]


@dataclass(slots=True, eq=False)
class Path:
    """Hops from the first to the last. `relations`: what each crosses, from the VM before it; `vms`: the VMs among the machines `met`;
    `place`: where the last VM was; `last`: when its last hop was last seen; `root`: when its first was; `identity`: machines and users;
    `rank`: the best sorts first, of equals the longest, then the earliest.
    """

    hops: tuple[Hop, ...]
    relations: tuple[Relation, ...]
    score: float
    met: frozenset[str]
    vms: frozenset[str]
    place: Place | None
    last: int
    root: int
    identity: tuple[object, ...]
    rank: Rank

    @property
    def machines(self) -> tuple[str, ...]:
        """Every machine that it meets, in order; a manager stands before each VM that is reached through it."""
        names = [self.hops[0].source]
        for hop in self.hops:
            names += [hop.target] if hop.source == names[-1] else [hop.source, hop.target]
        return tuple(names)


Relate = Callable[[Place, Hop], Relation]
Paths = dict[tuple[object, ...], Path]  # by identity


class Search:
    """The open paths, by the machine they end at. Hops are given to `step` in order of time."""

    def __init__(self, p: Hopping, relate: Relate) -> None:
        self._p, self._relate = p, relate
        self._weights = p.weights
        self._gap, self._change, self._span = p.gap, p.change, p.span
        self._open: defaultdict[object, Paths] = defaultdict(dict)

    def step(self, hop: Hop) -> Path | None:
        """Takes a hop in; gives the best path that ends with it, if one is worth an alert."""
        paths = self._kept(hop, [self._extended(path, hop) for path in self._before(hop)])
        return min(filter(self._is_worth, paths), key=_rank, default=None)

    def _is_worth(self, path: Path) -> bool:
        """Three VMs, or two of which the second is another tenant's and was reached through a manager or host: no single hop shows that."""
        return path.score >= self._p.threshold and (len(path.vms) >= 3 or (len(path.vms) == 2 and _crosses_through(path)))

    def first(self, hop: Hop) -> Path:
        """The path of this hop alone."""
        place = hop.goal if hop.target_is_vm else hop.place if hop.source_is_vm else None
        score = self._worth(hop, hop.relation)
        return Path((hop,), (hop.relation,), score, frozenset((hop.source, hop.target)), frozenset(_vms(hop)), place, hop.time, hop.time,
                    (hop.source, hop.target, hop.who, hop.day), (-round(score, 6), -1, (hop.order,)))

    def _before(self, hop: Hop) -> Iterator[Path]:
        """The open paths that the hop goes on from."""
        places: list[object] = [hop.source]
        if _walks(hop):
            places.append((hop.source, hop.who))
        for place in places:
            for path in self._alive(place, hop.time):
                if self._follows(path, hop):
                    yield path

    def _alive(self, place: object, now: int) -> Iterable[Path]:
        paths = self._open.get(place)
        if not paths:
            return ()
        gone = [key for key, path in paths.items() if now - path.last > self._gap or now - path.root > self._span]
        for key in gone:
            del paths[key]
        return paths.values()

    def _follows(self, path: Path, hop: Hop) -> bool:
        gap = hop.time - path.last
        if gap <= 0 or len(path.hops) >= self._p.depth or hop.target in path.met:
            return False
        last = path.hops[-1]
        return (last.who is not None and last.who == hop.who) or (gap <= self._change and last.target_is_vm and last.target == hop.source)

    def _extended(self, path: Path, hop: Hop) -> Path:
        through = not hop.source_is_vm and hop.target_is_vm and path.place is not None
        relation = self._relate(path.place, hop) if through and path.place is not None else hop.relation
        hops, score = (*path.hops, hop), path.score + self._worth(hop, relation)
        return Path(hops, (*path.relations, relation), score, path.met | {hop.source, hop.target}, path.vms.union(_vms(hop)),
                    hop.goal if hop.target_is_vm else path.place, hop.time, path.root, (*path.identity, hop.target, hop.who),
                    (-round(score, 6), -len(hops), (*path.rank[2], hop.order)))

    def _worth(self, hop: Hop, relation: Relation) -> float:
        same_host, tenant_cross, _, zone_up = relation
        worth = self._weights
        return (worth.rarity * hop.rarity + worth.same_host * same_host + worth.tenant_cross * tenant_cross + worth.zone_up * zone_up
                + worth.guestop_bypass * hop.bypass)

    def _kept(self, hop: Hop, paths: list[Path]) -> list[Path]:
        """Opens paths that end with a hop, and the one that begins with it; renews those that are there already."""
        if not (hop.through and hop.service):  # what a program does through its manager is its work, unless somebody came there first
            paths.append(self.first(hop))
        kept = [self._renewed(path) for path in paths]
        self._open[hop.target] = self._best(self._open[hop.target], kept)
        if _walks(hop):
            self._open[hop.source, hop.who] = self._best(self._open[hop.source, hop.who], kept)
        return kept

    def _renewed(self, path: Path) -> Path:
        known = self._open[path.hops[-1].target].get(path.identity)
        if known is None or path.last - known.last > self._gap:
            return path
        known.last, known.root = path.last, max(known.root, path.root)
        return known

    def _best(self, paths: Paths, more: Iterable[Path]) -> Paths:
        paths.update((path.identity, path) for path in more)
        if len(paths) <= self._p.open_paths:
            return paths
        return {path.identity: path for path in sorted(paths.values(), key=_rank)[:self._p.open_paths]}


def _crosses_through(path: Path) -> bool:
    return any(hop.through and crossed for hop, (_, crossed, _, _) in zip(path.hops, path.relations, strict=True))


def _rank(path: Path) -> Rank:
    return path.rank


def _vms(hop: Hop) -> Iterator[str]:
    return (name for name, is_vm in ((hop.source, hop.source_is_vm), (hop.target, hop.target_is_vm)) if is_vm)


def _walks(hop: Hop) -> bool:
    """Whether its user stands at a manager and works inside VMs from there."""
    return hop.through and hop.kind == GUEST_OPERATION and hop.who is not None


def found(hops: Sequence[Hop], p: Hopping, relate: Relate) -> list[Path]:
    """The best path that ends with each hop, where one is worth an alert; each once. `hops` are sorted by time."""
    search = Search(p, relate)
    ends = (search.step(hop) for hop in hops)
    return list(dict.fromkeys(path for path in ends if path is not None))


def joined(paths: Iterable[Path]) -> list[list[Path]]:
    """Paths that share a hop belong to one intrusion. Groups in order of their first hops, the paths of each in order of rank."""
    ordered = sorted(paths, key=_rank)
    parent: dict[int, int] = {}

    def root(number: int) -> int:
        parent.setdefault(number, number)
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for path in ordered:
        for hop in path.hops:
            low, high = sorted((root(path.hops[0].order), root(hop.order)))
            parent[high] = low
    groups = defaultdict[int, list[Path]](list)
    for path in ordered:
        groups[root(path.hops[0].order)].append(path)
    return [groups[number] for number in sorted(groups)]
