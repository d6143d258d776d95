"""What people do on a stage, again and again; each act that is acknowledged must be heard."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from chaos.phones import Answer, Phone
from chaos.stage import Stage

GIFT_ID = 1
GIVERS, WALKERS = 2, 1
FOR_THE_MIC = 8
"""How many of each gender take turns on the mic."""
LATEST_SECONDS = 15.0
"""By then what was asked for of a process that stopped for a while has been done, or never is."""
INVITED, REFUSES, TAKEN_OFF = 0.4, 0.25, 0.4


def favours(stage: Stage, pause: float) -> list[Coroutine[Any, Any, None]]:
    """Two who give, and the host, who renames herself."""
    givers = stage.people[-GIVERS:]
    return [*(Giver(stage, giver, pause).give() for giver in givers), rename(stage, pause)]


def turns(stage: Stage, pause: float) -> list[Coroutine[Any, Any, None]]:
    """The mic for men, the mic for women."""
    others = stage.people[: -GIVERS - WALKERS]
    seats = [[one for one in others if one.gender == gender][:FOR_THE_MIC] for gender in (1, 2)]
    return [Seat(stage, candidates, pause).fill() for candidates in seats]


@dataclass
class Seat:
    """The mic of one gender: its candidates go there and leave it, in one of several ways."""

    stage: Stage
    candidates: list[Phone]
    pause: float

    async def fill(self) -> None:
        while self.stage.going:
            async with self.stage.turn():
                one = self.stage.chance.choice(self.candidates)
                if not await self._turn(one):
                    await self._clear(one)
            await self.stage.rest(self.pause)

    async def _turn(self, one: Phone) -> bool:
        """To the mic and off it; False when its end is not known."""
        stage, began = self.stage, time.time()
        if stage.chance.random() < INVITED:
            host = stage.host
            asked = await host.post("qlive_room/invite_micro/", user_id=one.id, **self._here)
            if not stage.done(asked, f"micro_invite {one.id}", began):
                return False
        else:
            asked = await one.post("qlive_room/apply_micro/", **self._here)
            if not stage.done(asked, f"micro_apply {one.id}", began):
                return False
        await stage.rest(self.pause)
        if stage.chance.random() < REFUSES:
            refused = await one.post("qlive_room/refuse_micro/", **self._here)
            return stage.done(refused, f"micro_refuse {one.id}", began)
        return await self._sit(one)

    async def _sit(self, one: Phone) -> bool:
        stage, began = self.stage, time.time()
        seated = await one.post("qlive_room/accept_micro/", **self._here)
        stream = seated.json["play_url"].partition("?")[0] if seated.ok else ""
        if not stage.done(seated, f"micro_accept {stream}", began):
            return False
        await stage.rest(self.pause)
        who = stage.host if stage.chance.random() < TAKEN_OFF else one
        left = await who.get("qlive_room/leave_micro/", user_id=one.id, **self._here)
        return stage.done(left, f"micro_leave {one.id}", began)

    async def _clear(self, one: Phone) -> None:
        """Wherever a turn got stuck: back to being a viewer, asked for until it is answered."""
        for ask, path in ((one.post, "refuse_micro"), (one.get, "leave_micro")):
            while self.stage.going and not (await ask(f"qlive_room/{path}/", **self._here)).ok:
                await self.stage.rest(self.pause)

    @property
    def _here(self) -> dict[str, Any]:
        return {"live_id": self.stage.live_id}


@dataclass
class Giver:
    """Gives the host one gift after the other, each under one request_id until it is answered."""

    stage: Stage
    phone: Phone
    pause: float

    async def give(self) -> None:
        number = 0
        while self.stage.going:
            number += 1
            async with self.stage.turn():
                await self._one(f"{self.phone.name}-{number}")
            await self.stage.rest(self.pause)

    async def _one(self, request_id: str) -> None:
        stage, began = self.stage, time.time()
        answer = Answer(0)
        gift: Any = {"user_id": stage.host.id, "gift_id": GIFT_ID, "request_id": request_id}
        while answer.status in (0, 503) and stage.going:
            answer = await self.phone.get("qlive_gift/push_gift/", **gift)
        if answer.ok and answer.json["status"] != "success":
            stage.faults.add("gift_refused", f"{request_id}: {answer.json}")
        stage.done(answer, f"gift {request_id}", began)


async def rename(stage: Stage, pause: float) -> None:
    """The host is always visible, so that everybody must hear of her new name."""
    number = 0
    while stage.going:
        number += 1
        name = f"{stage.host.name[:12]}_{number}"
        async with stage.turn():
            began = time.time()
            answer = await stage.host.post("qlive_user/update_userinfo/", nickname=name)
            stage.done(answer, f"profile {stage.host.id} {name}", began)
        if answer.doubtful:  # a name is set by whatever comes last, also by what comes late
            await asyncio.sleep(LATEST_SECONDS)
        await stage.rest(pause)
