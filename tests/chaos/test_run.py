from pathlib import Path

from chaos.run import Run, RunSize


async def test_random_generators_are_independent_and_reproducible(tmp_path: Path) -> None:
    runs = [Run(tmp_path, RunSize(), seed) for seed in (1, 1, 2)]
    first, same, other = runs
    first.api._rng.random()  # drawn as often as requests are sent
    assert first.rng("kills").random() == same.rng("kills").random()
    assert first.rng("kills").random() != first.rng("removals").random()
    assert first.rng("kills").random() != other.rng("kills").random()
    draws = [[proxy.rng.random() for proxy in run.fleet.proxies] for run in runs]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == len(draws[0])
    for run in runs:
        await run.api.close()
