"""A batch of rules gives the room, events and answers of the same rules one after the other."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from core.errors import QLiveError
from rooms.events import LAST_EVENT_TYPE
from rooms.members import Person
from rooms.room import Room
from services.keeper import Change, ChangeFailed, decide
from tests.rooms.test_properties import HOSTS, RoomModel, Step
from tests.support.hypothesis_profiles import example_settings
from tests.support.room_builders import ANNA, BERT, CARL, HOST

LIVE_ID = 1
PEOPLE = (HOST, BERT, CARL, ANNA)
"""Few people, so that one batch has several changes by the same user."""
ACTIONS = (
    ["enter"] * 6 + ["leave"] * 4 + ["apply"] * 4 + ["accept"] * 4 + ["invite"] * 2
    + ["refuse", "leave_micro", "remove", "profile", "gift", "nothing", "end", "close"]
)  # fmt: skip
"""Changes of one room that begin no live session."""


def steps_of(
    actions: Sequence[str],
    live_ids: Sequence[int] = (LIVE_ID,),
    people: Sequence[Person] = PEOPLE,
) -> st.SearchStrategy[Step]:
    return st.builds(
        Step,
        action=st.sampled_from(actions),
        live_id=st.sampled_from(live_ids),
        actor=st.sampled_from(people),
        target=st.sampled_from(people),
        wait=st.sampled_from([0, 1_000, 61_000]),
        choice=st.integers(0, 5),
    )


class BatchModel(RoomModel):
    """Runs the same changes of a room as one batch, or one by one."""

    def make_change(self, step: Step) -> Change[None, None, Any]:
        user_id = step.actor.user_id
        if step.action == "enter":
            return change_of(lambda room: room.enter(step.actor, self.now), user_id)
        if step.action == "open":
            host, name = HOSTS[step.live_id], self.new_name()
            return change_of(lambda room: room.open(host, name, name, self.now), host.user_id)
        if step.action == "accept":
            stream = self.new_name()
            return change_of(lambda room: room.accept(step.actor, "open", stream, stream), user_id)
        return change_of(self.rule(step), user_id, step.target.user_id)

    def save_together(
        self, changes: Sequence[Change[None, None, Any]], live_id: int = LIVE_ID
    ) -> list[Any]:
        """What each rule returned or raised."""
        users = dict.fromkeys(user_id for change in changes for user_id in change.user_ids)
        room = self.load(live_id, *users)
        room.expire(self.now)
        try:
            outcomes, _ = decide(room, changes, {None: None})
        except ChangeFailed as failure:
            ((failed, error),) = failure.errors.items()
            kept = [change for change in changes if change is not failed]
            others, position = self.save_together(kept, live_id), changes.index(failed)
            return [*others[:position], error, *others[position:]]
        self.save(room)
        return [outcomes[change] for change in changes]

    def save(self, room: Room) -> None:
        if room.changed:
            self.store.write(room, room.numbered(self.now))
        if any(event.type == LAST_EVENT_TYPE for event in room.events):
            self.clear(room.live_id, room.epoch)

    def save_one_by_one(self, changes: Sequence[Change[None, None, Any]]) -> list[Any]:
        return [outcome for change in changes for outcome in self.save_together([change])]

    def state(self) -> Any:
        """All that is stored, but for the number of writes to each membership."""
        members = {user: replace(member, v=0) for user, member in self.store.members.items()}
        return self.store.documents, members


def change_of(rule: Callable[[Room], Any], *user_ids: str) -> Change[None, None, Any]:
    """A change whose refusals must leave the room as it was within the batch; `shown` raises the
    AssertionError otherwise."""

    def apply(room: Room, _context: None) -> Any:
        before = asdict(room)
        try:
            return rule(room)
        except QLiveError:
            assert asdict(room) == before
            raise

    return Change(apply, user_ids)


def shown(outcome: Any) -> Any:
    """What the caller gets, an error and a room, which later changes of the batch share, only by
    their types."""
    if isinstance(outcome, AssertionError):
        raise outcome
    return type(outcome) if isinstance(outcome, Room | tuple | Exception) else outcome


@example_settings(200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(steps_of([*ACTIONS, "open", "disconnect"]), max_size=12),
    st.lists(steps_of(ACTIONS), min_size=2, max_size=10),
)
def test_a_batch_has_the_effect_of_its_changes_one_by_one(
    before: list[Step], steps: list[Step]
) -> None:
    model = BatchModel()
    for live_id in HOSTS:
        model.open(live_id)
    model.enter(LIVE_ID, BERT)
    for step in before:
        model.run(step)
    changes = [model.make_change(step) for step in steps]
    other = copy.copy(model)
    other.store = copy.deepcopy(model.store)
    together, one_by_one = model.save_together(changes), other.save_one_by_one(changes)
    assert [shown(it) for it in together] == [shown(it) for it in one_by_one]
    assert model.state() == other.state()
    model.check()
