"""Rules of giving in the demo room: age, reminder, confirmation and one's own caps."""

import re

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.programs


@pytest.fixture
def changes():
    return {
        "giving": {"day_gold": 104, "month_gold": 1_000},
        "age_verification": {"provider": "faceid"},
    }


async def test_a_giver_verifies_their_age_confirms_gifts_and_sets_a_cap(demo, api, db):
    woman = await demo.join((await api.host()).live_id, "woman")
    db.users.update_one({"_id": await woman.session("user_id")}, {"$set": {"gold": 600}})
    await woman.page.reload()
    await woman.expect_gold(600)

    async def give_kiss():
        await woman.room.press("送礼")
        await woman.dialog.choose("香吻")
        await woman.dialog.press("赠送")
        await expect(woman.dialog.root).to_have_class(re.compile("giving"))

    await woman.check_layout("giving-age", give_kiss)
    await woman.dialog.root.get_by_label("真实姓名").fill("秀英")
    await woman.dialog.root.get_by_label("身份证号").fill("11010119900307002X")
    await woman.dialog.press("核实")
    await woman.expect_toast("已核实，可以充值和送礼了")
    await woman.room.press("送礼")
    await woman.dialog.choose("香吻")
    await woman.dialog.press("赠送")
    await woman.expect_toast("提醒")
    await woman.expect_gold(548)
    await woman.check_layout("giving-confirm", give_kiss)
    await woman.dialog.expect_text("今天已送 52 金币，上限 104")
    await woman.dialog.press("不送了")
    await woman.expect_gold(548)
    await give_kiss()
    await woman.dialog.press("确认赠送")
    await woman.expect_gold(496)
    await woman.room.press("送礼")
    await woman.dialog.press("赠送")
    await woman.expect_toast("超过每日送礼上限，明天再送吧")
    await woman.dialog.dismiss()

    await woman.room.press("离开直播间")
    await woman.wallet.open()
    cap = woman.page.get_by_label("我的每日上限（金币）")
    await expect(woman.page.locator(".giving-caps")).to_contain_text("今天已送 104 金币，上限 104")
    await cap.fill("60")
    await woman.page.get_by_label("我的单次上限（金币）").fill("40")
    await woman.wallet.press("保存")
    await woman.expect_toast("已保存")
    await expect(woman.page.locator(".giving-caps")).to_contain_text("每次送礼至多 40 金币")
    await cap.fill("")
    await woman.wallet.press("保存")
    await woman.expect_toast("已保存，调高的上限 24 小时后生效")
    await expect(cap).to_have_value("60")
    await expect(woman.page.locator(".later")).to_contain_text("起改为没有上限")
    await woman.check_layout("giving-wallet")
