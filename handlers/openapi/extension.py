"""Endpoints from outside handlers/ that the OpenAPI document includes."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from core.errors import QLiveError


@dataclass(frozen=True, eq=False)
class ExtraEndpoint:
    """A POST endpoint with JSON request and response bodies."""

    path: str
    name: str
    summary: str
    request: type[BaseModel]
    response: type[BaseModel]
    example: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Extension:
    """A tag and its endpoints.

    `intro` is appended to the document's description; `error` is the model of a 400 response.
    """

    tag: str
    about: str
    intro: str
    endpoints: tuple[ExtraEndpoint, ...]
    error: type[BaseModel]
    unavailable: QLiveError
