import gc
import weakref

import pytest

from runtime import gc_tuning
from runtime.gc_tuning import FREEZE_THRESHOLD, GcTuner


class Cycle:
    """An object in a reference cycle, which only the garbage collector frees."""

    def __init__(self) -> None:
        self.reference = self


@pytest.fixture(autouse=True)
def restored_gc():
    before = gc.get_threshold()
    gc.disable()  # only the code under test collects
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


def test_objects_are_frozen_once_when_many_sockets_have_connected(monkeypatch):
    sockets = FREEZE_THRESHOLD - 1
    tuner = GcTuner(lambda: sockets)
    gc.unfreeze()
    tuner.run()
    assert gc.get_freeze_count() == 0
    sockets += 1
    tuner.run()
    assert gc.get_freeze_count() > 0
    collected = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    for sockets in (0, FREEZE_THRESHOLD, 0, FREEZE_THRESHOLD):  # noqa: B007 - the lambda reads it
        tuner.run()
    assert collected == []


def test_garbage_is_not_frozen_and_frozen_garbage_freed_by_the_next_full_collection(monkeypatch):
    before, after = Cycle(), Cycle()
    refs = weakref.ref(before), weakref.ref(after)
    del before
    tuner = GcTuner(lambda: FREEZE_THRESHOLD)
    tuner.run()
    assert refs[0]() is None
    del after
    tuner.run()
    assert refs[1]() is not None, "full collections are rare"
    monkeypatch.setattr(gc_tuning, "FULL_COLLECT_SECONDS", 0.0)
    tuner.run()
    assert refs[1]() is None
