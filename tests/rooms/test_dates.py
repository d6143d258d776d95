"""Dates of a room; tests/rooms/test_properties.py compares them with its events."""

from rooms.dates import MAX_DATES, DateChange, date_fields
from rooms.room import Room
from tests.support.room_builders import ANNA, BERT, NOW, live_room

PAIR = (BERT.user_id, ANNA.user_id)


def test_a_date_begins_with_the_second_guest_and_ends_with_the_first_to_leave() -> None:
    room = live_room(ANNA, BERT)
    for person in (ANNA, BERT):
        room.accept(person, "open", person.user_id, "")
    room.leave_mic(ANNA, ANNA.user_id)
    assert room.date_changes == [DateChange(0, *PAIR, on=True), DateChange(0, *PAIR, on=False)]
    assert room.date_count == 1


def test_the_end_of_a_live_ends_the_date() -> None:
    room = live_room(ANNA, BERT)
    for person in (ANNA, BERT):
        room.accept(person, "open", person.user_id, "")
    room.close("host")
    assert [change.on for change in room.date_changes] == [True, False]


def test_one_guest_has_no_date() -> None:
    room = live_room(ANNA)
    room.apply(ANNA, NOW)
    room.accept(ANNA, "open", "anna", "")
    room.leave(ANNA.user_id)
    assert (room.date_changes, room.date_count) == ([], 0)


def test_a_date_that_begins_and_ends_at_once_is_whole_and_an_earlier_one_gets_its_end() -> None:
    changes = [
        DateChange(0, *PAIR, on=False),
        *(DateChange(1, *PAIR, on=on) for on in (True, False)),
    ]
    whole = {"male": BERT.user_id, "female": ANNA.user_id, "from": 7, "to": 7}
    assert date_fields(changes, 7) == {0: {"to": 7}, 1: whole}


def test_a_room_keeps_so_many_dates() -> None:
    changes = [DateChange(number, *PAIR, on=True) for number in (MAX_DATES - 1, MAX_DATES)]
    assert [*date_fields(changes, 7)] == [MAX_DATES - 1]


def test_a_new_live_has_no_dates() -> None:
    room = Room(1, "g", live_room().owner, date_count=3, application_count=2, income=1)
    room.open(room.owner.person, "e2", "s", NOW)
    assert (room.date_count, room.application_count, room.income) == (0, 0, 0)
