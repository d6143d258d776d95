from itertools import pairwise

import pytest

from chaos.faults import TRACKS, make_plan

SECONDS, NODES = 60.0, 4


def test_equal_seeds_give_equal_plans_and_other_seeds_other_plans() -> None:
    assert make_plan(3, SECONDS, NODES) == make_plan(3, SECONDS, NODES)
    assert make_plan(3, SECONDS, NODES) != make_plan(4, SECONDS, NODES)


@pytest.mark.parametrize("seed", range(20))
def test_faults_end_within_the_storm_and_do_not_overlap_on_a_track(seed: int) -> None:
    faults = make_plan(seed, SECONDS, NODES)
    assert faults == sorted(faults, key=lambda fault: fault.at)
    assert all(0 <= f.at <= f.at + f.duration <= SECONDS + 0.02 for f in faults)
    assert all(f.node in range(NODES) for f in faults)
    for track in TRACKS:
        of_track = [f for f in faults if f.track == track]
        for before, after in pairwise(of_track):
            assert before.at + before.duration < after.at


def test_twenty_seeds_cover_every_kind_of_fault() -> None:
    covered = {(f.track, f.kind) for seed in range(20) for f in make_plan(seed, SECONDS, NODES)}
    assert covered == {(track, kind) for track, kinds in TRACKS.items() for kind in kinds}
