"""The doctor finds each wrong set-up, and that alone."""

import asyncio
import json
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.process import ServerProcess
from services.doctor import stores
from services.doctor.findings import Examination, Finding, Findings
from services.doctor.servers import RunningServers
from storage.database import Database
from tests.support.api import ApiFixture
from tests.support.callbacks import CallbackSender
from tests.support.doctor import PLAY_DOMAIN, DoctorFixture

LIMIT = 3.0
"""Seconds that a busy machine needs at most for the checks before the one without an answer."""
WRONG_SETUPS = [
    ("wechat.app_secret", "wechat.token", "AppSecret"),
    ("wechat.app_id", "wechat.token", "AppID"),
    ("wechat.content_check", "wechat.content_check", "48001"),
    ("wechat.quota", "wechat.token", "quota"),
    ("wechat.html", "wechat.token", "without JSON"),
    ("wechat.502", "wechat.token", "HTTP 502"),
    ("wechat.silence", "wechat.token", "no answer"),
    ("wechat.app_key", "wechat.virtual_payment", "AppKey"),
    ("pay.serial_no", "pay.signature", "pay.serial_no"),
    ("pay.private_key", "pay.signature", "pay.private_key"),
    ("pay.mchid", "pay.signature", "pay.mchid"),
    ("pay.key_id", "pay.answers", "pay.public_key_id"),
    ("pay.unknown_key_id", "pay.signature", "pay.public_key_id"),
    ("pay.public_key", "pay.answers", "pay.public_key "),
    ("pay.apiv3_key", "pay.apiv3_key", "APIv3密钥"),
    ("pay.transfers", "pay.transfers", "产品中心"),
    ("pay.address", "pay.transfers", "IP名单"),
    ("pay.bills", "pay.bills", "NO_AUTH"),
    ("pay.502", "pay.signature", "HTTP 502"),
    ("im.key", "im.account", "im.secret_key"),
    ("im.admin", "im.account", "im.admin"),
    ("im.sdk_app_id", "im.account", "im.sdk_app_id"),
    ("im.edition", "im.groups", "edition"),
    ("im.group_quota", "im.groups", "used up"),
    ("im.silence", "im.account", "no answer"),
    ("im.html", "im.account", "without JSON"),
    ("live_streaming.secret", "live_streaming.state", "live_streaming.secret_id"),
    ("live_streaming.right", "live_streaming.state", "DescribeLiveStreamState"),
    ("live_streaming.push_domain", "live_streaming.push_domain", "push.qlive.test"),
    ("cos.secret", "cos.write", "uploads.secret_id"),
    ("cos.bucket", "cos.write", "uploads.bucket"),
    ("cos.versions", "cos.versions", "版本控制"),
    ("cos.private", "cos.public_reads", "公有读私有写"),
    ("cos.address", "cos.address", "uploads.public_url"),
    ("cos.delete", "cos.delete", "AccessDenied"),
    ("cos.lifecycle", "cos.lifecycle", "生命周期"),
    ("faceid.key", "faceid.answer", "age_verification.secret_id"),
    ("faceid.product", "faceid.answer", "人脸核身"),
    ("clock", "clock.difference", "NTP"),
]
"""Set-up of the simulator, name of the only wrong finding, and a part of its text."""


def only_wrong(found: dict[str, Finding]) -> Finding:
    """The wrong finding; every other is right, not used or due to it, or is one of OPEN."""
    [wrong] = [finding for finding in found.values() if finding.verdict == "wrong"]
    others = [finding for finding in found.values() if finding.verdict == "cannot be told"]
    unexplained = {row.name for row in others if row.because_of != wrong.name}
    assert unexplained <= OPEN
    return wrong


OPEN = {
    *("wechat.offer_id", "im.callback", "live_streaming.drop", "live_streaming.callback"),
    *("server.open_files", "server.public_url", "server.nginx"),
}
"""What cannot be told without a running server, a stream or a purchase."""


def test_at_least_thirty_six_wrong_set_ups_are_played() -> None:
    assert len({setup for setup, _, _ in WRONG_SETUPS}) == len(WRONG_SETUPS) >= 36


@pytest.mark.parametrize(("setup", "name", "text"), WRONG_SETUPS)
async def test_a_wrong_set_up_is_the_only_wrong_finding(
    doctor: DoctorFixture, setup: str, name: str, text: str
) -> None:
    wrong = only_wrong(await doctor.run(setup))
    assert wrong.name == name
    assert text in f"{wrong.came_back} {wrong.to_do}"
    assert wrong.to_do


async def test_nothing_is_wrong_and_nothing_is_left_behind_where_all_is_right(
    doctor: DoctorFixture, tmp_path: Path
) -> None:
    found = await doctor.run()
    assert [row for row in found.values() if row.verdict == "wrong"] == []
    assert {row.name for row in found.values() if row.verdict == "cannot be told"} == OPEN
    unused = {row.name for row in found.values() if row.verdict == "not used"}
    assert unused == {"mongodb.members", "mongodb.user", "mongodb.parameters"}
    assert all(row.to_do for row in found.values() if row.verdict == "cannot be told")
    assert doctor.simulator.im.groups == {}
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []
    assert doctor.simulator.live_streaming.dropped == []
    text = json.dumps([asdict(row) for row in found.values()])
    settings = doctor.settings
    sections = (settings.pay, settings.im, settings.uploads, settings.live_streaming)
    secrets = [
        getattr(section, name)
        for section in sections
        for name, field in type(section).model_fields.items()
        if not field.repr
    ]
    assert len(secrets) > 10
    assert [secret for secret in secrets if secret and secret in text] == []


async def test_a_payment_product_that_is_not_open_is_wrong_only_if_it_is_used(
    doctor: DoctorFixture,
) -> None:
    wrong = only_wrong(await doctor.run("pay.orders"))
    assert (wrong.name, "产品中心" in wrong.to_do) == ("pay.orders", True)
    found = await doctor.run("pay.orders", settings=doctor.changed("pay", provider="xpay"))
    assert [row for row in found.values() if row.verdict == "wrong"] == []
    assert found["pay.transfers"].verdict == "right"


async def test_a_refusal_with_many_causes_is_not_taken_for_one_of_them(
    doctor: DoctorFixture,
) -> None:
    found = await doctor.run("pay.bill_date")
    assert [row for row in found.values() if row.verdict == "wrong"] == []
    assert found["pay.bills"].verdict == "cannot be told"
    assert "INVALID_REQUEST" in found["pay.bills"].came_back


async def test_a_template_of_another_app_is_found(doctor: DoctorFixture) -> None:
    settings = doctor.changed("notices", template_id="OTHER")
    wrong = only_wrong(await doctor.run(settings=settings))
    assert (wrong.name, "notices.template_id" in wrong.to_do) == ("wechat.templates", True)


@pytest.mark.parametrize("setup", ["wechat.busy", "wechat.too_many"])
async def test_a_quota_that_comes_back_by_itself_is_not_wrong(
    doctor: DoctorFixture, setup: str
) -> None:
    found = await doctor.run(setup)
    assert [row for row in found.values() if row.verdict == "wrong"] == []
    assert found["wechat.token"].verdict == "cannot be told"
    assert found["wechat.virtual_payment"].because_of == "wechat.token"


async def test_a_domain_without_an_address_is_wrong(doctor: DoctorFixture) -> None:
    async def has_address(domain: str) -> bool:
        return domain != PLAY_DOMAIN

    assert only_wrong(await doctor.run(resolve=has_address)).name == "live_streaming.play_domain"


async def test_a_private_key_that_is_no_key_is_wrong(doctor: DoctorFixture) -> None:
    settings = doctor.changed("pay", private_key="REPLACE")
    assert only_wrong(await doctor.run(settings=settings)).name == "pay.signature"


async def test_what_the_settings_do_not_use_is_not_called(doctor: DoctorFixture) -> None:
    settings = doctor.changed("pay", private_key="", app_key="").model_copy(
        update={
            "uploads": doctor.settings.uploads.model_copy(update={"bucket": ""}),
            "redis": doctor.settings.redis.model_copy(update={"url": ""}),
        }
    )
    found = await doctor.run(settings=settings, database=None)
    unused = {name.partition(".")[0] for name, row in found.items() if row.verdict == "not used"}
    assert unused >= {"pay", "cos", "redis", "mongodb"}
    called = {entry["service"] for entry in doctor.simulator.log}
    assert not called & {"pay", "cos"}


async def test_a_database_that_is_away_is_one_finding(
    doctor: DoctorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.OPERATION_MS", 200)
    away = Database("mongodb://127.0.0.1:1/", "none")
    wrong = only_wrong(await doctor.run(database=away))
    await away.close()
    assert (wrong.name, wrong.came_back) == ("mongodb.reached", "ServerSelectionTimeoutError")


@pytest.mark.parametrize(
    ("stalled_at", "what"),
    [("PUT /cos/.*", "objects"), ("POST /v4/group_open_http_svc/create_group", "groups")],
)
@pytest.mark.parametrize("ends", ["after its limit", "by Ctrl-C"])
async def test_what_was_made_is_removed_if_its_answer_never_comes(
    doctor: DoctorFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stalled_at: str,
    what: str,
    ends: str,
) -> None:
    monkeypatch.setattr("services.doctor.findings.MAKE_SECONDS", 0.05)
    doctor.stalled_at = stalled_at
    if ends == "by Ctrl-C":
        run = asyncio.create_task(doctor.run())
        await doctor.stalled.wait()
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        assert run.cancelled()
    else:
        found = await doctor.run(service_seconds=LIMIT)
        name = {"objects": "cos.write", "groups": "im.groups"}[what]
        assert found[name].verdict == "cannot be told"
    assert doctor.simulator.im.groups == {}
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("delayed_at", ["PUT /cos/.*", "POST /v4/group_open_http_svc/create_group"])
async def test_what_a_service_makes_only_after_ctrl_c_is_removed(
    doctor: DoctorFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delayed_at: str
) -> None:
    monkeypatch.setattr("services.doctor.findings.MAKE_SECONDS", 60.0)
    doctor.delayed_at = delayed_at
    run = asyncio.create_task(doctor.run())
    await doctor.stalled.wait()
    run.cancel()
    asyncio.get_running_loop().call_later(0.2, doctor.released.set)
    with suppress(asyncio.CancelledError):
        await run
    await doctor.answered()
    assert doctor.simulator.im.groups == {}
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == []


async def test_ctrl_c_does_not_cut_a_clean_up_short(doctor: DoctorFixture) -> None:
    begun, may_end, done = asyncio.Event(), asyncio.Event(), list[str]()

    async def act() -> None:
        begun.set()
        await may_end.wait()
        done.append("cleaned up")

    async def examine() -> None:
        findings, servers = Findings("a service", {}), RunningServers(None)
        async with AsyncExitStack() as stack:
            examination = Examination(doctor.settings, findings, servers, stack, print)
            examination.clean_up(act)

    task = asyncio.create_task(examine())
    await begun.wait()
    task.cancel()
    may_end.set()
    with suppress(asyncio.CancelledError):
        await task
    assert (task.cancelled(), done) == (True, ["cleaned up"])


async def test_a_clean_up_that_gets_no_answer_ends_by_itself(
    doctor: DoctorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.doctor.findings.CLEAN_UP_SECONDS", 0.1)
    doctor.stalled_at = "DELETE /cos/.*"
    found = await doctor.run(service_seconds=LIMIT)
    assert found["cos.delete"].verdict == "cannot be told"
    assert found["cos.lifecycle"].because_of == "cos.delete"


async def test_a_bug_in_one_check_does_not_hide_the_findings_about_other_services(
    doctor: DoctorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.doctor.cos.CosClient", None)
    found = await doctor.run()
    assert (found["cos.write"].verdict, found["cos.write"].came_back) == (
        "cannot be told",
        "TypeError",
    )
    assert found["im.groups"].verdict == "right"


# ---- beside a running server


async def test_the_callback_about_a_dissolved_group_is_found_at_the_server(
    server: ServerProcess, api: ApiFixture, doctor: DoctorFixture
) -> None:
    destroyed = {"CallbackCommand": "Group.CallbackAfterGroupDestroyed", "GroupId": "g"}
    await CallbackSender(api, server.settings).im(destroyed, Sign="forged")
    settings = server.settings.at(server.address, f"{server.address}/sim")
    found = await doctor.run(settings=settings, database=server.context.database)
    assert found["im.callback"].verdict == "right"
    assert found["server.open_files"].verdict == "right"


async def test_a_callback_that_does_not_arrive_or_is_refused_is_wrong(
    server: ServerProcess, api: ApiFixture, doctor: DoctorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "OPEN_FILES", 10**9)
    database = server.context.database
    wrong = only_wrong(await doctor.run(database=database, callback_seconds=0.1))
    assert (wrong.name, wrong.came_back) == ("im.callback", "nothing within 0.1 s")
    destroyed = {"CallbackCommand": "Group.CallbackAfterGroupDestroyed", "GroupId": "g"}
    await CallbackSender(api, server.settings).im(destroyed, Sign="of another token")
    wrong = only_wrong(await doctor.run(database=database, callback_seconds=0.1))
    assert (wrong.name, wrong.came_back) == ("im.callback", "it is refused: sign")
    production = doctor.settings.model_copy(update={"environment": "production"})
    found = await doctor.run(settings=production, database=database, callback_seconds=0.1)
    assert found["server.open_files"].verdict == "wrong"
    assert "Seconds 127.0.0.1:" in found["mongodb.parameters"].came_back, "the only member"


async def test_a_wrong_clock_is_the_only_wrong_finding_also_beside_a_running_server(
    server: ServerProcess, doctor: DoctorFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.doctor.cloud.STREAM_SECONDS", 0.1)
    options = {"database": server.context.database, "callback_seconds": 0.1, "show_url": print}
    wrong = {row.name for row in (await doctor.run(**options)).values() if row.verdict == "wrong"}
    assert wrong == {"im.callback", "live_streaming.callback"}
    clock = SimpleNamespace(time=lambda: time.time() + 10)  # not enough for a signature to expire
    monkeypatch.setattr("services.doctor.doctor.time", clock)
    found = await doctor.run(**options)
    assert only_wrong(found).name == "clock.difference"
    assert {found[name].because_of for name in wrong} == {"clock.difference"}


async def test_the_event_about_a_stream_that_is_pushed_is_found_at_the_server(
    server: ServerProcess, api: ApiFixture, doctor: DoctorFixture
) -> None:
    sender, urls = CallbackSender(api, server.settings), list[str]()

    async def push() -> None:
        while not urls:
            await asyncio.sleep(0.01)
        stream = urls[0].rpartition("/")[2].partition("?")[0]
        event = {"event_type": 1, "stream_id": stream, "sequence": "1", "event_time": 1_800_000_000}
        assert (await sender.live(event)).status == 200

    run = doctor.run(database=server.context.database, callback_seconds=0.1, show_url=urls.append)
    found, _ = await asyncio.gather(run, push())
    assert found["live_streaming.callback"].verdict == "right"
    assert urls[0].startswith("rtmp://push.qlive.test/live/doctor-")
