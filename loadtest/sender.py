"""Users who cause events, and what they send."""

import asyncio
import random
import secrets
import time
from itertools import cycle

from loadtest.measurements import Delivery, Measurements
from loadtest.participant import Participant

CHEAPEST_GIFT_PATH = "qlive_gift/?page=1"


async def send_applications(member: Participant, measurements: Measurements, rate: float) -> None:
    """Apply for a seat and withdraw in turn, `rate` times a second."""
    live_id, user_id = member.room.live_id, member.account.user_id
    for call in cycle(("apply", "refuse")):
        await _pause(rate)
        await member.opened.wait()
        delivery = measurements.expect(live_id, f"micro_{call}", user_id)
        answer = await member.account.http.post(f"qlive_room/{call}_micro/", live_id=live_id)
        _note_answer(delivery, accepted=answer.ok)


async def send_gifts(
    member: Participant, measurements: Measurements, rate: float, host_id: str, number: int
) -> None:
    """Give the host the cheapest gift on the first page, `rate` times a second."""
    http, user_id = member.account.http, member.account.user_id
    gifts = (await http.get(CHEAPEST_GIFT_PATH)).json.get("results") or [{"id": 1, "gold": 1}]
    gift_id = min(gifts, key=lambda gift: gift["gold"])["id"]
    while True:
        await _pause(rate)
        await member.opened.wait()
        delivery = measurements.expect(member.room.live_id, "gift", user_id)
        request_id = f"load-{number}-{secrets.token_hex(8)}"
        path = f"qlive_gift/push_gift/?user_id={host_id}&gift_id={gift_id}&num=1"
        answer = await http.get(f"{path}&request_id={request_id}")
        _note_answer(delivery, accepted=answer.json.get("status") == "success")


async def _pause(rate: float) -> None:
    await asyncio.sleep(random.uniform(0.5, 1.5) / rate)


def _note_answer(delivery: Delivery, *, accepted: bool) -> None:
    if accepted:
        delivery.answered = time.monotonic()
