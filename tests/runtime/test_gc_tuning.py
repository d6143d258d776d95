import gc
import weakref
from collections.abc import Iterator

import pytest

from runtime import gc_tuning
from runtime.gc_tuning import FREEZE_THRESHOLD, GcTuner


class Cycle:
    """An object in a reference cycle, which only the garbage collector frees."""

    def __init__(self) -> None:
        self.reference = self


@pytest.fixture(autouse=True)
def restored_gc() -> Iterator[None]:
    before = gc.get_threshold()
    gc.disable()  # only the code under test collects
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


def new_cycle() -> tuple[Cycle, "weakref.ref[Cycle]"]:
    cycle = Cycle()
    return cycle, weakref.ref(cycle)


def test_objects_are_frozen_when_many_sockets_have_connected() -> None:
    sockets = FREEZE_THRESHOLD - 1
    tuner = GcTuner(lambda: sockets)
    gc.unfreeze()
    tuner.run()
    assert gc.get_freeze_count() == 0
    sockets += 1
    tuner.run()
    assert gc.get_freeze_count() > 0


def test_garbage_is_not_frozen() -> None:
    cycle, ref = new_cycle()
    del cycle
    GcTuner(lambda: FREEZE_THRESHOLD).run()
    assert ref() is None


def test_frozen_garbage_is_freed_by_the_next_full_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cycle, ref = new_cycle()
    tuner = GcTuner(lambda: FREEZE_THRESHOLD)
    tuner.run()
    del cycle
    tuner.run()
    assert ref() is not None, "full collections are rare"
    monkeypatch.setattr(gc_tuning, "FULL_COLLECT_SECONDS", 0.0)
    tuner.run()
    assert ref() is None


def test_fluctuating_sockets_do_not_trigger_repeated_freezes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sockets = FREEZE_THRESHOLD
    tuner = GcTuner(lambda: sockets)
    tuner.run()
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    for sockets in (0, FREEZE_THRESHOLD, 0, FREEZE_THRESHOLD):  # noqa: B007 - the lambda reads it
        tuner.run()
    assert collected == []


def test_startup_freezes_objects_and_raises_the_first_threshold() -> None:
    gc_tuning.freeze_startup_objects()
    assert gc.get_threshold()[0] == gc_tuning.GEN0_THRESHOLD
    assert gc.get_freeze_count() > 0
