"""The people of a room: who somebody is, and what they are in the room."""

from dataclasses import dataclass
from typing import Literal, TypedDict

Role = Literal["viewer", "applied", "male", "female", "host"]
SeatName = Literal["male", "female"]

MAN, WOMAN = 1, 2
ON_MIC = ("host", "male", "female")
SEAT_OF_GENDER: dict[int, SeatName] = {MAN: "male", WOMAN: "female"}


class Face(TypedDict):
    """What everybody in a room may see of somebody."""

    user_id: str
    nickname: str
    face_url: str
    gender: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a room shows them; gender 1 man, 2 woman, 0 not set."""

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
    """One person's place in one life (`epoch`) of one room; a person has at most one."""

    user_id: str
    live_id: int
    epoch: str
    gender: int
    role: Role
    entered_at: int
    """Milliseconds since 1970."""
    v: int = 0
    """Grows with every write: whoever changes or removes the place names the one they saw."""
    socket: int = 0
    """The number of their newest socket; 0 while they have had none."""
    away_at: int | None = None
    """Since when their connection is gone, in ms; None while they are here."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many are in a room, the host not among them."""

    men_applying: int = 0
    men: int = 0
    women_applying: int = 0
    women: int = 0
    others: int = 0
    """People whose gender is not set."""

    @property
    def audience(self) -> int:
        """Everyone in the room, host included."""
        return self.men + self.women + self.others + 1

    @property
    def num_list(self) -> list[int]:
        """Men applying, men in the room, women applying, women in the room."""
        return [self.men_applying, self.men, self.women_applying, self.women]
