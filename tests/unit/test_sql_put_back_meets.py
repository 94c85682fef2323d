"""SQL that is put back where numbers were given twice, copies moved on, nodes were forgotten, or one is cut off."""

from datetime import timedelta

import pytest
from support.backups import backup, doubled, put_back, restored
from support.everywhere import MINUTE, everywhere, there
from support.fleet import Fleet
from support.isolating import ALONE, cut, heal, minute
from support.labelled import EACH_MINUTE, NEVER, TICK, MakeFleet, look

from cronkeeper.common.coordination import paths
from cronkeeper.common.errors import Conflict
from cronkeeper.common.store.job_query import JobQuery
from cronkeeper.manager import jobs


def test_of_several_jobs_that_were_made_since_none_gets_a_number_of_another(fleet: Fleet) -> None:
    copy = backup(fleet.store)
    fleet.submit(schedule=NEVER, name="one")
    fleet.submit(schedule=NEVER, name="two")
    fleet.go(100)
    fleet.stop("first")
    fleet.go(10)
    put_back(fleet.store, copy)
    assert fleet.submit(schedule=NEVER, name="new").id == 1
    fleet.lead("first")
    fleet.go(60)
    known = {job.name: job.id for job in jobs.listing(fleet.desk, JobQuery())}
    assert (known["new"], known["two"], known["one"] > 1000) == (1, 2, True)


@pytest.mark.parametrize("before", ["all", "one"])
def test_a_job_whose_number_went_to_one_with_other_copies_goes_on_once(
    make_fleet: MakeFleet, before: str
) -> None:
    fleet = make_fleet("alpha", "beta")
    copy = backup(fleet.store)
    old = everywhere(fleet) if before == "all" else fleet.submit(schedule=EACH_MINUTE)
    fleet.until(TICK + timedelta(seconds=20))
    fleet.stop("first")
    fleet.go(15)
    put_back(fleet.store, copy)
    new = fleet.submit(schedule=NEVER) if before == "all" else everywhere(fleet, schedule=NEVER)
    assert new.id == old.id
    fleet.lead("first")
    fleet.until(TICK + 4 * MINUTE + timedelta(seconds=20))
    last = [run_id for run_id in fleet.starts() if ".20260301T120500Z." in run_id]
    assert [run_id.split(".")[0] for run_id in last] == ["1002"] * (2 if before == "all" else 1)
    assert doubled(fleet) == []


def test_a_copy_whose_node_was_forgotten_since_and_comes_back_runs_nothing_of_before(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    everywhere(fleet, schedule="1 * * * *")
    fleet.go(5)
    copy = backup(fleet.store)
    fleet.until(TICK + MINUTE)
    fleet.power_off("alpha")
    fleet.go(30)
    fleet.forget("alpha")
    fleet.go(60)
    put_back(fleet.store, copy)
    fleet.go(30)
    fleet.work("alpha")
    fleet.go(60)
    assert sorted(there(fleet)) == ["alpha", "beta"]
    assert doubled(fleet) == []


def test_the_run_of_a_job_that_nobody_knows_any_more_holds_up_no_one(make_fleet: MakeFleet) -> None:
    """Its claim was parked, which has no spec that could tell of the job."""
    fleet = make_fleet("alpha", "beta")
    fleet.label("alpha", disk="ssd")
    fleet.go(10)
    copy = backup(fleet.store)
    fleet.machines["alpha"].run_seconds = 10_000
    fleet.submit(schedule=EACH_MINUTE, requires={"disk": "ssd"})
    fleet.until(TICK + timedelta(seconds=40))
    fleet.drain("alpha")
    fleet.go(10)
    fleet.power_off("alpha")
    fleet.go(30)
    put_back(fleet.store, copy)
    fleet.go(120)
    mark = int(fleet.desk.tree.get(paths.MARK).data)
    fleet.go(100)
    assert int(fleet.desk.tree.get(paths.MARK).data) > mark
    fleet.forget("alpha")
    job = fleet.submit(schedule=NEVER)
    fleet.go(30)
    assert fleet.job(job).assigned_node == "beta"


def test_a_job_that_was_removed_while_its_node_went_on_by_itself_stays_removed(fleet: Fleet) -> None:
    job = fleet.submit(**ALONE)
    fleet.submit(schedule=NEVER, name="other")
    minute(fleet, 1)
    copy = backup(fleet.store)
    cut(fleet)
    minute(fleet, 2)
    fleet.remove(job)
    minute(fleet, 3)
    put_back(fleet.store, copy)
    minute(fleet, 6)
    assert any("stays so" in text for text in restored(fleet))
    heal(fleet)
    minute(fleet, 9)
    assert doubled(fleet) == []
    assert fleet.job(job).ended_at is not None


def test_copies_of_a_forgotten_node_end_also_where_their_claims_went_with_the_tree(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("alpha", "beta")
    job = everywhere(fleet)
    fleet.until(TICK + timedelta(seconds=10))
    fleet.power_off("alpha")
    fleet.go(40)
    fleet.lose_tree()
    fleet.go(100)
    fleet.forget("alpha")
    look(fleet)
    assert [each.until is None for each in jobs.copies_of(fleet.desk, job.id)] == [False, True]
    with pytest.raises(Conflict, match="node alpha has no copy of job 1"):
        fleet.request(job, "alpha")
