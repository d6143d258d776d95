"""Demo data for the laptop: two matchmakers, twenty people, gifts and recharge blocks."""

from storage.blocks import Blocks
from storage.gifts import Gifts
from storage.users import Users
from tencent.simulator.codes import openid_of

MATCHMAKERS = ["hongniang1", "hongniang2"]
MEN = ["建国", "志强", "文博", "浩然", "俊杰", "子轩", "宇航", "明远", "天佑", "思远"]
WOMEN = ["秀英", "雨桐", "梦洁", "静怡", "欣妍", "诗涵", "晓雯", "佳琪", "若曦", "婉清"]
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
]
BLOCKS = [(60, 600), (300, 3000), (980, 9800), (2980, 29800)]  # gold, fen


async def plant(
    users: Users, gifts: Gifts, blocks: Blocks, app_id: str, address: str
) -> dict[str, str]:
    """Make whatever is missing; answers the user_id of each demo name. `address` serves /static."""
    if await gifts.empty():
        for name, gold, picture, effect in GIFTS:
            image = f"{address}/static/gifts/{picture}.svg"
            await gifts.add(name=name, gold=gold, image=image, effect=effect)
    if await blocks.empty():
        for gold, fen in BLOCKS:
            await blocks.add(gold=gold, fen=fen)
    people = [(name, 2) for name in MATCHMAKERS + WOMEN] + [(name, 1) for name in MEN]
    made = {}
    for number, (name, gender) in enumerate(people):
        user, new = await users.create(
            app_id,
            openid_of(name),
            nickname=name,
            gender=gender,
            age=24 + number % 13,
            area=CITIES[number % len(CITIES)],
            face_url=f"{address}/static/faces/{number + 1}.svg",
            height=(158 if gender == 2 else 172) + number % 11,
        )
        if new and name in MATCHMAKERS:
            await users.update(user.user_id, is_matchmaker=True)
        made[name] = user.user_id
    return made
