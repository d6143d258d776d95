"""Demo data for development: two matchmakers, twenty users, gifts and recharge blocks."""

from devtools.simulator.codes import openid_of
from storage.catalogue import GiftStore, RechargeBlockStore
from storage.outbox import OutboxStore
from storage.users import UserStore

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


async def store_demo_data(
    users: UserStore,
    gifts: GiftStore,
    blocks: RechargeBlockStore,
    outbox: OutboxStore,
    app_id: str,
    address: str,
) -> None:
    """Creates missing demo data and updates picture URLs.

    `address` is the base URL of the pictures; it may have changed since the last start.
    """
    await _store_gifts(gifts, f"{address}/static/gifts/")
    await blocks.store_defaults({"gold": gold, "fen": fen} for gold, fen in BLOCKS)
    for number, name, gender in USERS:
        picture = f"{address}/static/faces/{number + 1}.svg"
        user, created = await users.create(
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
            await outbox.add("account_import", {"user_id": user.user_id})
        elif user.face_url != picture and "/static/faces/" in user.face_url:
            await users.update(user.user_id, face_url=picture)


async def _store_gifts(gifts: GiftStore, folder: str) -> None:
    await gifts.store_defaults(
        {"name": name, "gold": gold, "image": f"{folder}{picture}.svg", "effect": effect}
        for name, gold, picture, effect in GIFTS
    )
    for gift in await gifts.all():
        _, separator, picture = gift["image"].partition("/static/gifts/")
        if separator and not gift["image"].startswith(folder):
            await gifts.edit(gift["id"], image=folder + picture)
