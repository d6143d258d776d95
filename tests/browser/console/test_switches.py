"""The switches of other consoles in the operators' console."""

import pytest
from playwright.async_api import expect

from tests.browser.pages.windows import expect_toast
from tests.support.callbacks import CallbackSender

pytestmark = pytest.mark.programs


async def test_an_admin_runs_the_checks_and_sees_what_is_wrong_and_what_to_do(console, api, server):
    left = {"CallbackCommand": "Group.CallbackAfterMemberExit", "GroupId": "none"}
    await CallbackSender(api, server.settings).im(left)
    await server.context.services.arrivals.flush()
    (await api.request("POST", "/sim/setup", json={"wrong": "cos.versions"})).ok()
    await console.open("switches")
    versions, exits = console.list.row("容错容灾管理"), console.list.row("CallbackAfterMemberExit")
    await expect(versions).to_contain_text("无法得知")
    await expect(exits).to_contain_text("正确最近收到")
    await expect(console.page.get_by_text("还没有检查过")).to_be_visible()
    await console.button("运行检查").click()
    await expect_toast(console.page, "检查完成")
    await expect(versions).to_contain_text("有误")
    await expect(versions).to_contain_text("Suspend the versions")
    await expect(console.tile("有误")).to_contain_text("1")
    await console.check_layout("switches")
    await console.button("运行检查").click()
    await expect_toast(console.page, "尝试太频繁")
