"""Gifts, recharge blocks and configs in the console."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.programs


async def test_gift_is_added_with_an_image_edited_and_deleted(console):
    dialog, gift = console.dialog, console.list.row("满天星")
    await console.open("gifts")
    await console.button("添加礼物").click()
    image = f"{console.address}/static/gifts/rose.svg"
    preview = dialog.root.locator(".preview")
    await dialog.input("图片地址").fill("ftp://x")
    await expect(preview).to_have_text("没有图片")
    await dialog.input("图片地址").fill(image)
    await expect(preview.locator("img")).to_have_js_property("complete", True)
    assert await preview.locator("img").evaluate("image => image.naturalWidth") > 0
    await dialog.submit("添加", 名称="满天星", 价格="-3")
    await expect(dialog.input("价格")).to_have_attribute("aria-invalid", "true")
    await expect(dialog.input("价格")).to_be_focused()
    await dialog.expect_text("请填写整数，不带小数和符号")
    await dialog.submit("添加", 价格="66")
    await console.expect_done("“满天星”已保存")
    await expect(gift.locator("img")).to_have_attribute("src", image)

    await console.list.row_button("满天星", "编辑").click()
    await dialog.submit("保存", 价格="99")
    await console.expect_done("已保存")
    await expect(gift).to_contain_text("99")
    await console.list.row_button("满天星", "删除").click()
    await dialog.expect_text("此后不能再送这个礼物")
    await dialog.submit("删除")
    await console.expect_done("“满天星”已删除")
    await expect(gift).to_have_count(0)


async def test_invalid_price_or_rate_is_refused_with_a_message_at_its_field(console):
    dialog, price, value = (
        console.dialog,
        console.dialog.field("价格"),
        console.dialog.field("JSON"),
    )
    await console.open("blocks")
    await console.button("添加档位").click()
    for invalid in ("six", "5.001", "0.00", "-1"):
        await dialog.submit("添加", 金币="50", 价格=invalid)
        await expect(price).to_contain_text("最多两位小数，如 6.00")
    await dialog.submit("添加", 价格="5.50")
    await console.expect_done("已保存")
    await expect(console.list.row("¥5.50")).to_contain_text("9.09")

    await console.go("configs")
    await console.list.row_button("EXCHANGE_RATE", "编辑").click()
    for invalid, message in (("0,5", "这不是 JSON"), ("1.5", "比例是大于 0、至多为 1 的数")):
        await dialog.submit("保存", 值=invalid)  # the second one is refused by the server
        await expect(value).to_contain_text(message)
    await dialog.submit("保存", 值="0.25")
    await console.expect_done("“EXCHANGE_RATE”已保存")
    rate = console.list.row("EXCHANGE_RATE")
    await expect(rate).to_contain_text("0.25")
    await console.list.row_button("EXCHANGE_RATE", "撤回").click()
    await dialog.expect_text("撤回后保持现在的值")
    await dialog.submit("撤回")
    await console.expect_done("已撤回")
    await expect(rate).not_to_contain_text("0.25")
    await expect(console.list.row_button("EXCHANGE_RATE", "撤回")).to_have_count(0)
