"""The room as the first frame of a socket shows it."""

from collections.abc import Callable
from typing import TypedDict

from rooms.people import Counts, Face
from rooms.room import Room, Seat, Status

PlayUrl = Callable[[str], str]
"""The signed play URL of a stream."""


class SeatShown(Face):
    area: str
    age: int
    play_url: str
    away: bool


class Applicant(Face):
    """An invited viewer who has not applied stands here with applied_at None."""

    applied_at: int | None
    invited: bool
    expires_at: int


class Snapshot(TypedDict):
    status: Status
    room_name: str
    room_image: str
    group_id: str
    owner: SeatShown
    male: SeatShown | None
    female: SeatShown | None
    applicants: list[Applicant]
    audience_count: int
    num_list: list[int]


def snapshot(room: Room, counts: Counts, play_url: PlayUrl) -> Snapshot:
    return {
        "status": room.status,
        "room_name": room.name,
        "room_image": room.image,
        "group_id": room.group_id,
        "owner": show_seat(room.owner, play_url),
        "male": show_seat(room.male, play_url) if room.male else None,
        "female": show_seat(room.female, play_url) if room.female else None,
        "applicants": show_applicants(room),
        "audience_count": counts.audience if room.live else 0,
        "num_list": counts.num_list,
    }


def show_seat(seat: Seat, play_url: PlayUrl) -> SeatShown:
    person = seat.person
    return {
        **person.face(),
        "area": person.area,
        "age": person.age,
        "play_url": play_url(seat.stream),
        "away": seat.away,
    }


def show_applicants(room: Room) -> list[Applicant]:
    """In the order in which they first applied or were invited."""
    queue = sorted(room.applications.values(), key=lambda asked: asked.n)
    return [
        {
            **asked.person.face(),
            "applied_at": asked.applied_at,
            "invited": asked.invited,
            "expires_at": asked.expires_at,
        }
        for asked in queue
    ]
