"""Where somebody is and what they see there, in the numbers of the contract."""

from handlers import answers
from handlers.parts import Parts
from rooms.keeper import now_ms
from rooms.people import Role
from rooms.room import Room, Seat

USER_TYPE: dict[Role, int] = {"viewer": 1, "applied": 2, "male": 3, "female": 4, "host": 5}


async def place_of(parts: Parts, user_id: str) -> tuple[Room | None, Role | None]:
    """The live room somebody is in, and their role there."""
    place = await parts.members.get(user_id)
    room = await parts.rooms.read(place.live_id) if place else None
    return (room, room.role_in(place)) if place and room else (None, None)


def on_mic(parts: Parts, seat: Seat) -> answers.OnMic:
    person = seat.person
    return answers.OnMic(
        play_url=play_url(parts, seat.stream),
        nickname=person.nickname,
        area=person.area,
        age=person.age,
        user_id=person.user_id,
        face_url=person.face_url,
    )


def play_url(parts: Parts, stream: str) -> str:
    return parts.live.play(stream, now_ms() // 1000)


def push_url(parts: Parts, stream: str) -> str:
    return parts.live.push(stream, now_ms() // 1000)
