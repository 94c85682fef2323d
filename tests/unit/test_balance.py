"""Which jobs are to leave nodes that have many: few at a time, to where they may be, and then no more."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.manager import balance
from cronkeeper.manager.balance import spread
from cronkeeper.manager.placement import NOTHING, JobKey, Site, Wants, wants

_names = st.sampled_from("abcdef")
_labels = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2)
_demands = st.builds(wants, st.none() | _names, _labels)


class Fleet:
    """Jobs on nodes."""

    def __init__(self, sites: dict[str, Site], at: dict[JobKey, str], wanted: Mapping[int, Wants]) -> None:
        self._sites = sites
        self.at = at
        self.wanted = wanted

    @property
    def loads(self) -> Counter[str]:
        return Counter(self.at.values())

    @property
    def sites(self) -> dict[str, Site]:
        return {name: replace(site, load=self.loads[name]) for name, site in self._sites.items()}

    def spread(self, busy: Collection[JobKey] = ()) -> dict[JobKey, str]:
        on: dict[str, list[JobKey]] = defaultdict(list)
        for key, node in self.at.items():
            on[node].append(key)
        return spread(on, self.demand, self.sites, busy)

    def demand(self, key: JobKey) -> Wants:
        return self.wanted.get(key[0], NOTHING)

    def able(self, key: JobKey) -> list[str]:
        """The nodes that the job may be on."""
        demand = self.demand(key)
        return [
            name
            for name, site in self._sites.items()
            if demand.node in (None, name) and all(site.labels.get(k) == v for k, v in demand.labels)
        ]


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Jobs lie where they may be, or on a node that is not live; capacities may be exceeded."""
    drawn = draw(st.dictionaries(_names, st.tuples(_labels, st.just(0) | st.integers(1, 40)), min_size=1))
    sites = {name: Site(name, labels, 0, capacity) for name, (labels, capacity) in drawn.items()}
    wanted = draw(st.dictionaries(st.integers(1, 60), _demands, max_size=20))
    fleet = Fleet(sites, {}, wanted)
    heavy = draw(st.lists(st.sampled_from([*sorted(sites), "gone"]), min_size=1, max_size=3))
    for job in range(1, draw(st.integers(0, 60)) + 1):
        able = fleet.able((job, 1))
        choice = [name for name in heavy if name in able or name == "gone"]
        if choice or able:
            fleet.at[job, 1] = choice[job % len(choice)] if choice else able[job % len(able)]
    return fleet


def flat(**counts: int) -> Fleet:
    """So many jobs on each node, which demand nothing."""
    jobs = iter(range(1, 100_000))
    at = {(next(jobs), 1): name for name, count in counts.items() for _ in range(count)}
    return Fleet({name: Site(name, {}, 0) for name in counts}, at, {})


@given(fleets())
def test_jobs_go_only_where_they_may_be_and_find_room(fleet: Fleet) -> None:
    before = fleet.loads
    moves = fleet.spread()
    for key, node in moves.items():
        assert node in fleet.able(key)
        assert node != fleet.at[key]
        assert fleet.at[key] in fleet.sites, "what lies on a dead node is none of its business"
    for node, count in Counter(moves.values()).items():
        capacity = fleet.sites[node].capacity
        assert capacity == 0 or before[node] + count <= max(capacity, before[node]), "no room"


@given(fleets())
def test_of_a_node_one_in_twenty_leaves_or_one(fleet: Fleet) -> None:
    left = Counter(fleet.at[key] for key in fleet.spread())
    assert all(count <= max(1, math.floor(0.05 * fleet.loads[node])) for node, count in left.items())


@given(fleets(), st.sets(st.integers(1, 60)))
def test_what_can_not_leave_stays(fleet: Fleet, busy: set[int]) -> None:
    assert not {job for job, _ in fleet.spread({(job, 1) for job in busy})} & busy


@given(fleets())
def test_it_comes_to_an_end_and_no_job_goes_back_and_what_is_left_is_not_worth_it(fleet: Fleet) -> None:
    been: dict[JobKey, list[str]] = {key: [node] for key, node in fleet.at.items()}
    for _ in range(500):
        moves = fleet.spread()
        if not moves:
            break
        before = sum(load * load for load in fleet.loads.values())
        fleet.at |= moves
        assert sum(load * load for load in fleet.loads.values()) < before, "a move that made it no better"
        for key, node in moves.items():
            assert node not in been[key], "a job went back"
            been[key].append(node)
    assert fleet.spread() == {}
    for key, node in fleet.at.items():
        others = [fleet.sites[name] for name in fleet.able(key)] if node in fleet.sites else []
        for other in others:
            if not other.full:
                assert fleet.loads[node] - other.load <= max(1, 0.05 * fleet.loads[node])


def test_a_new_node_gets_its_share_in_some_minutes() -> None:
    fleet = flat(a=100, b=100, c=0)
    minutes = 0
    while moves := fleet.spread():
        assert len(moves) <= 10
        fleet.at |= moves
        minutes += 1
    assert minutes <= 10
    assert max(fleet.loads.values()) - min(fleet.loads.values()) <= 4


def test_a_difference_of_one_or_of_a_twentieth_is_none() -> None:
    assert flat(a=3, b=2).spread() == {}
    assert flat(a=100, b=95).spread() == {}
    assert len(flat(a=3, b=1).spread()) == 1
    assert len(flat(a=100, b=94).spread()) == 1, "the next one is not worth it any more"


def test_the_answer_does_not_depend_on_the_order_in_which_nodes_and_jobs_are_told() -> None:
    fleet = flat(a=40, b=3, c=7)
    turned = Fleet(dict(reversed(fleet._sites.items())), dict(reversed(fleet.at.items())), {})
    assert fleet.spread() == turned.spread() != {}


def test_of_a_huge_fleet_no_more_leave_at_once_than_a_round_bears() -> None:
    assert len(flat(a=50_000, b=0).spread()) == balance.MOST == 1000
