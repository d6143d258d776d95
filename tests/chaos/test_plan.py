from itertools import pairwise

import pytest

from chaos import plan

SECONDS, NODES = 60.0, 4


def test_the_same_seed_is_the_same_plan_and_another_one_another() -> None:
    assert plan.make(3, SECONDS, NODES) == plan.make(3, SECONDS, NODES)
    assert plan.make(3, SECONDS, NODES) != plan.make(4, SECONDS, NODES)


@pytest.mark.parametrize("seed", range(20))
def test_troubles_end_within_the_storm_and_those_of_a_track_never_overlap(seed: int) -> None:
    troubles = plan.make(seed, SECONDS, NODES)
    assert troubles == sorted(troubles, key=lambda trouble: trouble.at)
    assert all(0 <= t.at <= t.at + t.lasting <= SECONDS + 0.02 for t in troubles)
    assert all(t.node in range(NODES) for t in troubles)
    for track in plan.TRACKS:
        of_track = [t for t in troubles if t.track == track]
        for before, after in pairwise(of_track):
            assert before.at + before.lasting < after.at


def test_twenty_seeds_know_every_trouble() -> None:
    met = {(t.track, t.kind) for seed in range(20) for t in plan.make(seed, SECONDS, NODES)}
    assert met == {(track, kind) for track, kinds in plan.TRACKS.items() for kind in kinds}
