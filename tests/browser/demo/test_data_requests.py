"""The user's own data in the demo: the copy, and the deletion that can be taken back."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs


@pytest.fixture
def paused_jobs():
    """The copy is made when the test says so."""
    return ("data_requests",)


async def test_a_user_downloads_a_copy_and_is_warned_of_the_deletion(demo, server):
    window = await demo.open()
    await window.enter_as("viewer")

    async def show():
        await window.press(re.compile("^(我的资料|My profile)$"))

    await show()
    await window.dialog.root.locator("summary").click()
    await window.dialog.expect_text(re.compile("作废，不能恢复"))
    await window.dialog.press("注销账号")
    await window.dialog.expect_closed()
    await window.check_layout("leaving", show)
    await window.dialog.expect_text(re.compile("账号将于 20.* 注销"))
    await window.dialog.press("不注销了")
    await window.dialog.expect_closed()
    await show()
    await window.dialog.root.locator("summary").click()
    await window.dialog.press("下载我的数据")
    await window.expect_toast("正在生成")
    await server.context.services.accounts.data_requests.job.sweep()
    async with window.page.expect_download() as download:
        await window.dialog.press("下载我的数据")
    path = await (await download.value).path()
    (profile,) = json.loads(Path(path).read_text())["profile"]
    assert profile["delete_at"] is None
