"""Snapshot of a room: the first frame of a non-resuming socket."""

from collections.abc import Callable
from typing import TypedDict

from rooms.members import Face, MemberCounts
from rooms.room import Room, Seat, Status

PlayUrl = Callable[[str], str]
"""Returns the signed play URL of a stream."""


class SeatShown(Face):
    area: str
    age: int
    play_url: str
    away: bool


class Applicant(Face):
    """A user who applied or was invited; `applied_at` is null if only invited."""

    applied_at: int | None
    invited: bool
    expires_at: int


class Snapshot(TypedDict):
    """State of a room when the socket opens; the events that follow change it."""

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


def snapshot(room: Room, counts: MemberCounts, play_url: PlayUrl) -> Snapshot:
    return {
        "status": room.status,
        "room_name": room.name,
        "room_image": room.image,
        "group_id": room.group_id,
        "owner": seat_view(room.owner, play_url),
        "male": seat_view(room.male, play_url) if room.male else None,
        "female": seat_view(room.female, play_url) if room.female else None,
        "applicants": applicant_views(room),
        "audience_count": counts.audience if room.live else 0,
        "num_list": counts.num_list,
    }


def seat_view(seat: Seat, play_url: PlayUrl) -> SeatShown:
    person = seat.person
    return {
        **person.face(),
        "area": person.area,
        "age": person.age,
        "play_url": play_url(seat.stream),
        "away": seat.away,
    }


def applicant_views(room: Room) -> list[Applicant]:
    """Applicants and invited users, by first application or invitation."""
    queue = sorted(room.applications.values(), key=lambda application: application.n)
    return [
        {
            **application.person.face(),
            "applied_at": application.applied_at,
            "invited": application.invited,
            "expires_at": application.expires_at,
        }
        for application in queue
    ]
