from rooms.people import Counts
from rooms.snapshot import snapshot
from tests.rooms.cast import (
    ANNA,
    BERT,
    CARL,
    HOST,
    NOW,
    after,
    applied,
    live_room,
    new_room,
    seated,
)


def play_url(stream: str) -> str:
    return f"rtmp://play/{stream}?sign"


def test_an_empty_live_is_shown_whole() -> None:
    counts = Counts(men_applying=1, men=2, women_applying=3, women=4, others=5)
    assert snapshot(live_room(), counts, play_url) == {
        "status": "live",
        "room_name": "hong",
        "room_image": "https://faces/host",
        "group_id": "qlive1",
        "owner": {
            "user_id": HOST.user_id,
            "nickname": "hong",
            "face_url": "https://faces/host",
            "gender": 2,
            "area": "310000",
            "age": 40,
            "play_url": "rtmp://play/stream-host?sign",
            "away": False,
        },
        "male": None,
        "female": None,
        "applicants": [],
        "audience_count": 12,
        "num_list": [1, 2, 3, 4],
    }


def test_guests_are_shown_on_their_seats() -> None:
    shown = snapshot(seated(BERT, ANNA), Counts(), play_url)
    for seat, person in (("male", BERT), ("female", ANNA)):
        assert shown[seat] == {
            **person.face(),
            "area": person.area,
            "age": person.age,
            "play_url": f"rtmp://play/stream-{person.nickname}?sign",
            "away": False,
        }


def test_applicants_stand_in_the_order_in_which_they_first_applied_or_were_invited() -> None:
    room = live_room(BERT, CARL, ANNA)
    room.invite(HOST.user_id, CARL, NOW, 60)
    room.apply(BERT, NOW, 600)
    room.apply(ANNA, NOW, 600)
    room.apply(CARL, NOW + 9, 600)
    room = after(room)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    room.applications = dict(reversed(room.applications.items()))
    assert snapshot(room, Counts(), play_url)["applicants"] == [
        row(CARL, applied_at=NOW + 9, invited=True, expires_at=NOW + 60_000),
        row(BERT, applied_at=NOW, invited=False, expires_at=NOW + 600_000),
        row(ANNA, applied_at=NOW, invited=True, expires_at=NOW + 60_000),
    ]


def test_an_invited_viewer_has_no_time_of_application() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    (shown,) = snapshot(room, Counts(), play_url)["applicants"]
    assert shown == row(BERT, applied_at=None, invited=True, expires_at=NOW + 60_000)


def test_a_cover_is_shown_instead_of_the_hosts_face() -> None:
    assert snapshot(live_room(cover="c"), Counts(), play_url)["room_image"] == "c"


def test_nobody_is_in_a_room_that_is_not_live() -> None:
    shown = snapshot(new_room(), Counts(), play_url)
    assert (shown["status"], shown["audience_count"], shown["num_list"]) == ("ended", 0, [0] * 4)
    room = applied(BERT)
    room.close("host")
    shown = snapshot(after(room), Counts(), play_url)
    assert (shown["status"], shown["applicants"], shown["male"]) == ("ended", [], None)


def row(person, **more):
    return {**person.face(), **more}
