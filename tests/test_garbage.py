import gc
import weakref
from collections.abc import Iterator

import pytest

import garbage
from garbage import MANY, Garbage

gen_test = pytest.mark.gen_test(timeout=20)


class Knot:
    """Garbage that only the collector finds, once nobody holds it."""

    def __init__(self) -> None:
        self.myself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    gc.disable()  # what is found is found by what is tested
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


def knot() -> tuple[Knot, "weakref.ref[Knot]"]:
    made = Knot()
    return made, weakref.ref(made)


@gen_test
async def test_what_stands_is_set_aside_when_many_sockets_have_come() -> None:
    sockets = MANY - 1
    aside = Garbage(lambda: sockets)
    gc.unfreeze()
    await aside.look()
    assert gc.get_freeze_count() == 0
    sockets += 1
    await aside.look()
    assert gc.get_freeze_count() > 0


@gen_test
async def test_garbage_is_not_set_aside() -> None:
    made, ref = knot()
    del made
    await Garbage(lambda: MANY).look()
    assert ref() is None


@gen_test
async def test_what_became_garbage_after_it_was_set_aside_is_found_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, ref = knot()
    aside = Garbage(lambda: MANY)
    await aside.look()
    del made
    await aside.look()
    assert ref() is not None, "it is looked for now and then only"
    monkeypatch.setattr(garbage, "WHOLE_SECONDS", 0.0)
    await aside.look()
    assert ref() is None


@gen_test
async def test_sockets_that_come_and_go_are_not_set_aside_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sockets = MANY
    aside = Garbage(lambda: sockets)
    await aside.look()
    collected: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    for sockets in (0, MANY, 0, MANY):  # noqa: B007 - the lambda reads it
        await aside.look()
    assert collected == []


def test_the_youngest_are_looked_through_less_often() -> None:
    garbage.settle()
    assert gc.get_threshold()[0] == garbage.FIRST
    assert gc.get_freeze_count() > 0
