from rooms.members import MemberCounts
from tests.support.room_builders import (
    ANNA,
    BERT,
    CARL,
    HOST,
    NOW,
    live_room,
    new_room,
    reloaded,
    room_with_applicants,
    room_with_guests,
)


def play_url(stream: str) -> str:
    return f"rtmp://play/{stream}?sign"


def test_a_live_without_guests_shows_room_host_and_counts() -> None:
    counts = MemberCounts(men_applying=1, men=2, women_applying=3, women=4, others=5)
    view = live_room().snapshot(counts, play_url)
    assert view == {
        **view,
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


def test_guests_are_in_their_seats() -> None:
    view = room_with_guests(BERT, ANNA).snapshot(MemberCounts(), play_url)
    for seat, person in (("male", BERT), ("female", ANNA)):
        assert view[seat] == {
            **person.face(),
            "area": person.area,
            "age": person.age,
            "play_url": f"rtmp://play/stream-{person.nickname}?sign",
            "away": False,
        }


def test_applicants_are_in_order_of_first_application_or_invitation() -> None:
    room = live_room(BERT, CARL, ANNA)
    room.invite(HOST.user_id, CARL, NOW, 60)
    room.apply(BERT, NOW, 600)
    room.apply(ANNA, NOW, 600)
    room.apply(CARL, NOW + 9, 600)
    room = reloaded(room)
    room.invite(HOST.user_id, ANNA, NOW, 60)
    room.applications = dict(reversed(room.applications.items()))
    assert room.snapshot(MemberCounts(), play_url)["applicants"] == [
        applicant(CARL, applied_at=NOW + 9, invited=True, expires_at=NOW + 60_000),
        applicant(BERT, applied_at=NOW, invited=False, expires_at=NOW + 600_000),
        applicant(ANNA, applied_at=NOW, invited=True, expires_at=NOW + 60_000),
    ]


def test_an_invited_viewer_has_no_application_time() -> None:
    room = live_room(BERT)
    room.invite(HOST.user_id, BERT, NOW, 60)
    (view,) = room.snapshot(MemberCounts(), play_url)["applicants"]
    assert view == applicant(BERT, applied_at=None, invited=True, expires_at=NOW + 60_000)


def test_a_cover_replaces_the_face_of_the_host() -> None:
    assert live_room(cover="c").snapshot(MemberCounts(), play_url)["room_image"] == "c"


def test_an_ended_live_is_empty() -> None:
    view = new_room().snapshot(MemberCounts(), play_url)
    assert (view["status"], view["audience_count"], view["num_list"]) == ("ended", 0, [0] * 4)
    room = room_with_applicants(BERT)
    room.close("host")
    view = reloaded(room).snapshot(MemberCounts(), play_url)
    assert (view["status"], view["applicants"], view["male"]) == ("ended", [], None)


def applicant(person, **more):
    return {**person.face(), **more}
