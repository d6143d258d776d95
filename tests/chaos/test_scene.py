from pathlib import Path

import pytest

from chaos.scene import Scene, Size


@pytest.mark.gen_test
async def test_what_one_draws_is_no_other_ones_business_and_replays(tmp_path: Path) -> None:
    scenes = [Scene(tmp_path, Size(), seed) for seed in (1, 1, 2)]
    one, same, another = scenes
    one.network._chance.random()  # as often as requests are made
    assert one.chance("kills").random() == same.chance("kills").random()
    assert one.chance("kills").random() != one.chance("victims").random()
    assert one.chance("kills").random() != another.chance("kills").random()
    loss = [[proxy.chance.random() for proxy in scene.fleet.proxies] for scene in scenes]
    assert loss[0] == loss[1] != loss[2]
    assert len(set(loss[0])) == len(loss[0])
    for scene in scenes:
        await scene.network.close()
