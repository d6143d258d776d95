"""Demo data for development: users, gifts and recharge blocks, and an operator without password."""

import secrets
from contextlib import suppress
from typing import cast

from devtools.simulator.wechat import openid_of
from handlers.base import Handler, endpoint
from handlers.context import Context
from handlers.operators.login import OperatorLoginResponse, login_response
from services.operators.operators import Login
from services.operators.roles import Operator, Role
from storage.errors import OperatorExists
from storage.operators.operators import DEMO, OperatorAccount

MATCHMAKERS = ["hongniang1", "hongniang2"]
MEN = ["建国", "志强", "文博", "浩然", "俊杰", "子轩", "宇航", "明远", "天佑", "思远"]
WOMEN = ["秀英", "雨桐", "梦洁", "静怡", "欣妍", "诗涵", "晓雯", "佳琪", "若曦", "婉清"]
USERS = [
    (number, name, 1 if name in MEN else 2) for number, name in enumerate(MATCHMAKERS + WOMEN + MEN)
]
"""Number, which selects the face, nickname and gender: 1 male, 2 female."""
CITIES = ["310100", "110100", "440100", "440300", "330100"]

GIFTS = [
    ("玫瑰", 1, "rose", ""),
    ("棒棒糖", 5, "candy", ""),
    ("气球", 10, "balloon", ""),
    ("香吻", 52, "kiss", ""),
    ("钻戒", 520, "ring", "fly"),
    ("跑车", 1314, "car", "drive"),
    ("城堡", 5200, "castle", "fullscreen"),
    ("火箭", 9999, "rocket", "fullscreen"),
    ("烟花", 188, "fireworks", "fly"),
]
BLOCKS = [(60, 600), (300, 3000), (980, 9800), (2980, 29800)]  # gold, fen

NO_HASH = "-"
"""Matches no password, so that only this endpoint logs in."""


async def store_demo_data(context: Context) -> None:
    """Create missing demo data, and update picture URLs to the server's present address."""
    stores, address = context.stores, context.settings.server.public_url
    app_id = next(iter(context.settings.wechat.apps))
    folder = f"{address}/static/gifts/"
    await stores.gifts.store_defaults(
        {"name": name, "gold": gold, "image": f"{folder}{picture}.svg", "effect": effect}
        for name, gold, picture, effect in GIFTS
    )
    for gift in await stores.gifts.all():
        _, separator, picture = gift["image"].partition("/static/gifts/")
        if separator and not gift["image"].startswith(folder):
            await stores.gifts.edit(gift["id"], image=folder + picture)
    await stores.blocks.store_defaults({"gold": gold, "fen": fen} for gold, fen in BLOCKS)
    for number, name, gender in USERS:
        picture = f"{address}/static/faces/{number + 1}.svg"
        user, created = await stores.users.create(
            app_id,
            openid_of(name),
            nickname=name,
            gender=gender,
            age=24 + number % 13,
            area=CITIES[number % len(CITIES)],
            face_url=picture,
            height=(158 if gender == 2 else 172) + number % 11,
            is_matchmaker=name in MATCHMAKERS,
            show_in_ranking=True,
        )
        if created:
            await stores.outbox.add("account_import", {"user_id": user.user_id})
        elif user.face_url != picture and "/static/faces/" in user.face_url:
            await stores.users.update(user.user_id, face_url=picture)


class DemoOperatorLoginHandler(Handler):
    """Log in to the operators' API as an admin.

    This exists in development only, and needs no password.
    """

    label = "Sim"

    @endpoint()
    async def post(self) -> OperatorLoginResponse:
        stores = self.context.stores
        account = await stores.operators.find(DEMO)
        if account is None:
            added = OperatorAccount(DEMO, "admin", NO_HASH, "", secrets.token_hex(16), None)
            with suppress(OperatorExists):  # another process has added it meanwhile
                await stores.operators.add(added)
            account = await stores.operators.get(DEMO)
        token, session = await stores.operator_sessions.issue(DEMO, account.credential)
        operator = Operator(DEMO, cast(Role, account.role))
        return login_response(self, Login(token, operator, session.expires_at))
