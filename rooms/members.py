"""Profiles, memberships and member counts of a room."""

from dataclasses import dataclass
from typing import Literal, TypedDict

Role = Literal["viewer", "applied", "male", "female", "host"]
SeatName = Literal["male", "female"]

GENDER_MALE, GENDER_FEMALE = 1, 2
ON_MIC = ("host", "male", "female")
"""Roles with a seat: the two guests, and the host, who is always on mic."""
SEAT_OF_GENDER: dict[int, SeatName] = {GENDER_MALE: "male", GENDER_FEMALE: "female"}


class Face(TypedDict):
    """Public profile of a user, visible to everyone in a room."""

    user_id: str
    nickname: str
    face_url: str
    gender: int


@dataclass(frozen=True, slots=True)
class Person:
    """A user as a room shows them; gender 1 man, 2 woman, 0 not set."""

    user_id: str
    nickname: str = ""
    face_url: str = ""
    gender: int = 0
    area: str = ""
    age: int = 0

    def face(self) -> Face:
        return {
            "user_id": self.user_id,
            "nickname": self.nickname,
            "face_url": self.face_url,
            "gender": self.gender,
        }


@dataclass(frozen=True, slots=True)
class Member:
    """A user's membership in one live session (`epoch`) of a room.

    A user has at most one, in any room.
    """

    user_id: str
    live_id: int
    epoch: str
    gender: int
    role: Role
    entered_at: int
    """Milliseconds since 1970."""
    v: int = 0
    """Optimistic-lock version: a room change fails if it differs from the loaded one."""
    socket: int = 0
    """Number of the user's newest socket; 0 before the first."""
    away_at: int | None = None
    """When the connection was lost (ms); None while the user is present."""


@dataclass(frozen=True, slots=True)
class MemberCounts:
    """Numbers of users in a room, host excluded."""

    men_applying: int = 0
    men: int = 0
    women_applying: int = 0
    women: int = 0
    others: int = 0
    """Users whose gender is not set."""

    @property
    def audience(self) -> int:
        """Everyone in the room, host included."""
        return self.men + self.women + self.others + 1

    @property
    def num_list(self) -> list[int]:
        """Men applying, men in the room, women applying, women in the room."""
        return [self.men_applying, self.men, self.women_applying, self.women]
