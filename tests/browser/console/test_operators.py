"""Operators in the console: an admin's list, and one's own account."""

import pyotp
import pytest
from playwright.async_api import expect

from tests.support.operators import PASSWORD, code_now, first_login

pytestmark = pytest.mark.programs

NEXT = "another horse battery"


async def test_an_admin_adds_changes_and_resets_another_operator(console):
    await console.open("operators")
    await expect(console.list.row("demo").get_by_role("button")).to_have_count(0)
    await console.button("添加人员").click()
    await console.dialog.submit("添加", 名字="Anna K", 原因="新同事")
    await console.dialog.expect_text("格式不对")
    await console.dialog.submit("添加", 名字="anna.k")
    await console.dialog.expect_text("anna.k 的一次性密码")
    await expect(console.dialog.root.get_by_role("button")).to_have_count(1)
    first = await console.dialog.root.locator("code").inner_text()
    await console.check_colours("one-time-password")
    await console.dialog.button("已记下").click()
    row = console.list.row("anna.k")
    await expect(row).to_contain_text("只读等待首次登录")
    for button, confirm, expected in (
        ("改角色", "保存", "财务"),
        ("停用", "确认", "已停用"),
        ("启用", "确认", "等待首次登录"),
        ("结束全部登录", "确认", "等待首次登录"),
    ):
        await console.list.row_button("anna.k", button).click()
        if button == "改角色":
            await console.dialog.input("角色").select_option("finance")
        await console.dialog.submit(confirm, 原因="转岗")
        await console.expect_done("已修改 anna.k")
        await expect(row).to_contain_text(expected)
    await console.check_layout("operators")
    await console.list.row_button("anna.k", "重置").click()
    await console.dialog.submit("重置", 原因="换了手机")
    await console.dialog.expect_text("只显示这一次")
    assert await console.dialog.root.locator("code").inner_text() != first


async def _forget_used_codes(server):
    """Lets anna use a code of this half minute again: each step is accepted once."""
    operators = server.context.database.collection("operators")
    await operators.update_one({"_id": "anna"}, {"$set": {"totp_step": 0}})


async def test_one_changes_ones_own_password_and_app(console, server):
    _, secret = await first_login(server, "viewer")
    await _forget_used_codes(server)
    await console.open_login()
    await console.login.submit("anna", PASSWORD, code_now(secret))
    await expect(console.link("运营人员")).to_have_count(0)
    await console.link("anna").click()
    await expect(console.heading).to_have_text("我的账号")
    await console.check_colours("account")
    await console.button("修改密码").click()
    for password, repeated, message in (
        (NEXT, PASSWORD, "两次输入不一致"),
        ("annahasthisone", "annahasthisone", "不能包含你的名字"),
        ("qwertyuiopasdf", "qwertyuiopasdf", "太容易猜到"),
        (NEXT, NEXT, ""),
    ):
        proofs = {"当前密码": PASSWORD, "当前验证码": code_now(secret, 1)}  # of this half minute
        await console.dialog.submit("保存", **proofs, 新密码=password, 再输一次密码=repeated)
        if message:
            await console.dialog.expect_text(message)
    await console.expect_done("其他登录已结束")
    await _forget_used_codes(server)
    await console.button("更换验证器").click()
    new_secret = await console.dialog.root.locator("code").inner_text()
    await console.check_layout("change-app")
    assert len(pyotp.TOTP(new_secret.replace(" ", "")).secret) == 32
    await console.dialog.submit(
        "保存", 当前密码=NEXT, 当前验证码=code_now(secret), 新应用的验证码=code_now(new_secret)
    )
    await console.expect_done("其他登录已结束")
    await console.go("audit")
    await expect(console.list.row("PATCH Account").first).to_contain_text("anna")
