"""What becomes of the runs that a dead node left unfinished."""

import pytest
from support.samples import ended, unfinished

from cronkeeper.common.model import Claim, LiveNode, Unfinished
from cronkeeper.manager.recovery import Nodes, Verdict, recover

RUN = unfinished("1.1.20260301T120000Z.1")


def judge(
    *runs: Unfinished,
    boots: dict[str, str] | None = None,
    absent: dict[str, float] | None = None,
    now: float = 160.0,
    known: frozenset[str] = frozenset({"alpha", "beta", "gamma", "delta"}),
) -> Verdict:
    """Of a claim on beta."""
    live = {
        name: LiveNode(name=name, incarnation="1", boot_id=boot, version="1", crond=True)
        for name, boot in ({} if boots is None else boots).items()
    }
    return recover(
        Claim(unfinished=runs),
        "beta",
        Nodes(known, live, {} if absent is None else absent),
        now=now,
        run_lease=60.0,
    )


@pytest.mark.parametrize(("now", "lost"), [(100.0, False), (159.9, False), (160.0, True), (1e6, True)])
def test_a_run_is_given_up_once_its_node_has_been_gone_for_the_run_lease(now: float, lost: bool) -> None:
    verdict = judge(RUN, absent={"alpha": 100.0}, now=now)
    if lost:
        assert verdict == Verdict(((RUN, "node alpha has been gone for 60 s"),), ())
    else:
        assert verdict == Verdict((), (RUN,))


def test_a_node_that_is_back_after_a_reboot_has_lost_its_runs_at_once() -> None:
    verdict = judge(RUN, boots={"alpha": "boot-2"}, now=0.0)
    assert verdict == Verdict(((RUN, "node alpha was restarted while the run was unfinished"),), ())


def test_a_node_that_is_back_without_a_reboot_says_itself_what_became_of_its_runs() -> None:
    assert judge(RUN, boots={"alpha": "boot-1"}, absent={"alpha": 0.0}) == Verdict((), (RUN,))


def test_a_node_of_which_nothing_is_known_is_waited_for() -> None:
    assert judge(RUN) == Verdict((), (RUN,))


@pytest.mark.parametrize("boots", [None, {"alpha": "boot-1"}])
def test_a_node_that_was_forgotten_is_waited_for_no_more(boots: dict[str, str] | None) -> None:
    verdict = judge(RUN, boots=boots, known=frozenset({"beta"}))
    assert verdict == Verdict(((RUN, "node alpha was forgotten"),), ())


def test_the_claims_own_runs_and_those_that_have_ended_are_left_alone() -> None:
    own = unfinished("1.1.hand-x.1", node="beta")
    assert judge(own, ended(RUN), absent={"alpha": 0.0, "beta": 0.0}) == Verdict((), ())


def test_each_run_is_judged_by_its_own_node() -> None:
    gamma, delta = unfinished("1.1.hand-g.1", node="gamma"), unfinished("1.1.hand-d.1", node="delta")
    verdict = judge(RUN, gamma, delta, boots={"delta": "boot-9"}, absent={"alpha": 10.0, "gamma": 150.0})
    assert [run for run, _ in verdict.lost] == [RUN, delta]
    assert verdict.pending == (gamma,)
