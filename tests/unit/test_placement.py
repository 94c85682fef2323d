"""Which node gets a job: fair, and the same answer for the same question."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from cronkeeper.manager.placement import NOTHING, JobKey, Site, Wants, place, wants

SSD = wants(None, {"disk": "ssd"})
_names = st.text("abc", min_size=1, max_size=2)
_labels = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=3)
_loads = st.integers(0, 30)
_fleets = st.dictionaries(_names, st.tuples(_loads, _labels, st.just(0) | st.integers(1, 40)), max_size=8)
_demands = st.builds(wants, st.none() | _names, _labels)
_jobs = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 3)), unique=True, max_size=60)
_wanted = st.dictionaries(st.integers(1, 200), _demands, max_size=60)

Fleet = Mapping[str, tuple[int, Mapping[str, str], int]]
"""Of each node its load, labels and capacity."""


def placed_on(jobs: Sequence[JobKey], fleet: Fleet, wanted: Mapping[int, Wants]) -> dict[JobKey, str]:
    """`place` for such a fleet."""
    sites = {name: Site(name, labels, load, capacity) for name, (load, labels, capacity) in fleet.items()}
    return place(jobs, lambda key: wanted.get(key[0], NOTHING), sites)


def plain(**load: int) -> Fleet:
    return {name: (jobs, {}, 0) for name, jobs in load.items()}


def will_do(demand: Wants, name: str, labels: Mapping[str, str]) -> bool:
    return demand.node in (None, name) and all(labels.get(key) == value for key, value in demand.labels)


def placed_one_by_one(jobs: Sequence[JobKey], fleet: Fleet, wanted: Mapping[int, Wants]) -> dict[JobKey, str]:
    """The rule as it is said, job by job."""
    counts = {name: load for name, (load, _, _) in fleet.items()}
    choice = {
        job: [name for name in fleet if will_do(wanted.get(job[0], NOTHING), name, fleet[name][1])]
        for job in jobs
    }

    def turn(job: JobKey) -> tuple[int, str, tuple[tuple[str, str], ...], JobKey]:
        demand = wanted.get(job[0], NOTHING)
        return len(choice[job]), demand.node or "", demand.labels, job

    placed = {}
    for job in sorted(jobs, key=turn):
        room = [name for name in choice[job] if fleet[name][2] == 0 or counts[name] < fleet[name][2]]
        if room:
            placed[job] = min(room, key=lambda name: (counts[name], name))
            counts[placed[job]] += 1
    return placed


def test_a_job_goes_to_the_node_with_the_fewest() -> None:
    assert placed_on([(7, 1)], plain(alpha=2, beta=1, gamma=2), {}) == {(7, 1): "beta"}


def test_between_equals_the_name_decides() -> None:
    assert placed_on([(1, 1), (2, 1), (3, 1)], plain(beta=0, alpha=0), {}) == {
        (1, 1): "alpha",
        (2, 1): "beta",
        (3, 1): "alpha",
    }


def test_without_a_live_node_no_job_is_placed() -> None:
    assert placed_on([(1, 1)], {}, {}) == {}


def test_a_job_that_may_be_on_one_node_only_is_there_or_nowhere() -> None:
    wanted = {job: wants(node, {}) for job, node in {1: "beta", 2: "gone", 4: "beta"}.items()}
    assert placed_on([(1, 1), (2, 1), (3, 1), (4, 1)], plain(alpha=1, beta=0), wanted) == {
        (1, 1): "beta",
        (3, 1): "alpha",
        (4, 1): "beta",
    }


def test_a_job_goes_to_the_node_with_the_fewest_of_those_with_its_labels() -> None:
    fleet = {
        "alpha": (0, {"disk": "hdd"}, 0),
        "beta": (9, {"disk": "ssd", "site": "x"}, 0),
        "gamma": (0, {}, 0),
    }
    assert placed_on([(1, 1)], fleet, {1: SSD}) == {(1, 1): "beta"}
    assert placed_on([(1, 1)], fleet, {1: wants("beta", {"disk": "ssd"})}) == {(1, 1): "beta"}
    assert placed_on([(1, 1)], fleet, {1: wants("gamma", {"disk": "ssd"})}) == {}


def test_a_job_that_may_be_anywhere_makes_room_for_one_that_may_not() -> None:
    fleet = {"alpha": (0, {"disk": "ssd"}, 0), "beta": (0, {}, 0)}
    assert placed_on([(1, 1), (2, 1)], fleet, {2: SSD}) == {(1, 1): "beta", (2, 1): "alpha"}


def test_what_a_node_lacks_is_named() -> None:
    demand = wants(None, {"site": "x", "disk": "ssd"})
    assert demand.lacking({"disk": "ssd"}) == (("site", "x"),)
    assert demand.lacking({"disk": "hdd"}) == (("disk", "ssd"), ("site", "x"))


def test_demands_that_are_alike_are_one_object() -> None:
    assert wants("alpha", {"a": "1", "b": "2"}) is wants("alpha", {"b": "2", "a": "1"})


@given(_jobs, _fleets, _wanted)
def test_it_is_what_placing_one_by_one_comes_to(
    jobs: list[JobKey], fleet: dict[str, tuple[int, dict[str, str], int]], wanted: dict[int, Wants]
) -> None:
    assert placed_on(jobs, fleet, wanted) == placed_one_by_one(jobs, fleet, wanted)


@given(_jobs, _fleets, _wanted)
def test_every_job_gets_a_node_that_will_do_in_whatever_order_they_are_asked_about(
    jobs: list[JobKey], fleet: dict[str, tuple[int, dict[str, str], int]], wanted: dict[int, Wants]
) -> None:
    placed = placed_on(jobs, fleet, wanted)
    for job in jobs:
        able = {name for name in fleet if will_do(wanted.get(job[0], NOTHING), name, fleet[name][1])}
        assert placed.get(job) in able | {None}
    assert placed_on(jobs[::-1], dict(reversed(fleet.items())), wanted) == placed


@given(_jobs, _fleets.filter(bool))
def test_a_job_never_goes_to_a_node_that_has_more_than_another(
    jobs: list[JobKey], fleet: dict[str, tuple[int, dict[str, str], int]]
) -> None:
    got = Counter(placed_on(jobs, fleet, {}).values())
    after = {node: load + got[node] for node, (load, _, _) in fleet.items()}
    with_room = [
        after[node] for node, (_, _, capacity) in fleet.items() if capacity == 0 or after[node] < capacity
    ]
    for node in got:
        assert after[node] - 1 <= min(with_room, default=after[node])


@given(_jobs, _fleets, _wanted)
def test_no_node_gets_more_than_it_takes_and_none_waits_that_a_node_has_room_for(
    jobs: list[JobKey], fleet: dict[str, tuple[int, dict[str, str], int]], wanted: dict[int, Wants]
) -> None:
    placed = placed_on(jobs, fleet, wanted)
    got = Counter(placed.values())
    for name, (load, _, capacity) in fleet.items():
        assert got[name] == 0 or capacity == 0 or load + got[name] <= capacity
    for job in set(jobs) - placed.keys():
        able = [name for name in fleet if will_do(wanted.get(job[0], NOTHING), name, fleet[name][1])]
        assert all(0 < fleet[name][2] <= fleet[name][0] + got[name] for name in able)


def test_jobs_for_which_there_is_no_room_wait_and_those_with_the_lowest_ids_do_not() -> None:
    fleet = {"alpha": (1, {}, 2), "beta": (5, {}, 5), "gamma": (9, {}, 3)}
    assert placed_on([(2, 1), (1, 1)], fleet, {}) == {(1, 1): "alpha"}
