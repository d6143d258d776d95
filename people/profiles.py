"""What everybody sees of a user."""

from typing import TypedDict


class PublicProfile(TypedDict):
    """Public profile of a user, visible to everyone in a room."""

    user_id: str
    nickname: str
    face_url: str
    gender: int
