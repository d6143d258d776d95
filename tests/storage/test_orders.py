import re

import pytest

from tests.storage.conftest import House

gen_test = pytest.mark.gen_test(timeout=60)


@gen_test
async def test_an_order_keeps_the_price_of_its_moment(house: House) -> None:
    block = await house.blocks.add(gold=60, fen=600)
    number = await house.orders.create("anna", block, "jsapi")
    assert re.fullmatch("[0-9A-Za-z]{6,32}", number)  # what WeChat allows as out_trade_no
    await house.blocks.edit(block["id"], fen=1)
    row = await house.database.collection("orders").find_one({"_id": number})
    assert row is not None
    assert row.pop("created_at").tzinfo is not None
    assert row == {
        "_id": number,
        "user_id": "anna",
        "block_id": block["id"],
        "gold": 60,
        "fen": 600,
        "provider": "jsapi",
        "state": "created",
    }
    assert await house.orders.create("anna", block, "jsapi") != number
