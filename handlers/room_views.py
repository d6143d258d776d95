"""Maps room membership, seats and stream URLs to the HTTP API's representation."""

from core.clock import now_ms
from handlers.context import Context
from handlers.schemas import responses
from rooms.members import Role
from rooms.room import Room, Seat

USER_TYPE: dict[Role, int] = {"viewer": 1, "applied": 2, "male": 3, "female": 4, "host": 5}


async def find_membership(context: Context, user_id: str) -> tuple[Room | None, Role | None]:
    """The live room the user is in and their role there; (None, None) if in none."""
    member = await context.stores.members.get(user_id)
    room = await context.stores.rooms.read(member.live_id) if member else None
    return (room, room.role_in(member)) if member and room else (None, None)


def on_mic_response(context: Context, seat: Seat) -> responses.OnMicResponse:
    person = seat.person
    return responses.OnMicResponse(
        play_url=play_url(context, seat.stream),
        nickname=person.nickname,
        area=person.area,
        age=person.age,
        user_id=person.user_id,
        face_url=person.face_url,
    )


def play_url(context: Context, stream: str) -> str:
    return context.tencent.stream_urls.play(stream, now_ms() // 1000)


def push_url(context: Context, stream: str) -> str:
    return context.tencent.stream_urls.push(stream, now_ms() // 1000)
