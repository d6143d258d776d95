"""Dates, told by the events of a room."""

from rooms.dates import DateChange, date_changes
from rooms.room import Room
from tests.support.room_builders import ANNA, BERT, NOW, live_room


def changes_of(room: Room) -> list[DateChange]:
    return date_changes(room.loaded, room.numbered(7))


def test_a_date_begins_with_the_second_guest_and_ends_with_the_first_to_leave() -> None:
    room = live_room(ANNA, BERT)
    for person in (ANNA, BERT):
        room.accept(person, "open", person.user_id, "")
    room.leave_mic(ANNA, ANNA.user_id)
    pair = {"male": BERT.user_id, "female": ANNA.user_id, "at": 7}
    assert changes_of(room) == [DateChange(**pair, on=True), DateChange(**pair, on=False)]


def test_the_end_of_a_live_ends_the_date() -> None:
    room = live_room(ANNA, BERT)
    for person in (ANNA, BERT):
        room.accept(person, "open", person.user_id, "")
    room.close("host")
    assert [change.on for change in changes_of(room)] == [True, False]


def test_one_guest_has_no_date() -> None:
    room = live_room(ANNA)
    room.apply(ANNA, NOW)
    room.accept(ANNA, "open", "anna", "")
    room.leave(ANNA.user_id)
    assert changes_of(room) == []
