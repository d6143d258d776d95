"""A doctor of the simulator behind HTTP, of a real MongoDB and a real Redis."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from config.settings import Settings
from devtools.development_secrets import fill_in_secrets
from devtools.simulator.requests import SetupRequest
from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import SimulatorReply, SimulatorRequest
from services.doctor.doctor import Doctor
from services.doctor.findings import Finding
from storage.database import Database
from tests.support.tencent import Serve
from tests.support.waiting import until

PLAY_DOMAIN = "play.qlive.test"


class DoctorFixture:
    """Runs the doctor with settings that may differ, while the simulator plays a set-up."""

    def __init__(self, settings: Settings, simulator: Simulator, database: Database) -> None:
        self.settings = settings
        self.simulator = simulator
        self.database = database
        self.stalled_at = ""
        """Pattern of the requests (method and path) that are carried out, but not answered."""
        self.delayed_at = ""
        """Pattern of those that are carried out only once they are released."""
        self._open = 0
        self.stalled, self.released = asyncio.Event(), asyncio.Event()

    async def answer(self, request: SimulatorRequest) -> SimulatorReply:
        line = f"{request.method} {request.path}"
        self._open += 1
        if re.fullmatch(self.delayed_at, line):
            self.stalled.set()
            await self.released.wait()
        reply = await self.simulator.answer(request)
        self._open -= 1
        if re.fullmatch(self.stalled_at, line):
            self.stalled.set()
            await self.released.wait()
        return reply

    async def answered(self) -> None:
        """Wait until all requests are carried out."""
        await until(lambda: not self._open)

    async def run(self, wrong: str = "", **changes: Any) -> dict[str, Finding]:
        """Returns the findings by name; `changes` are parameters of the doctor."""
        self.simulator.setup.play(SetupRequest(wrong=wrong))
        options = {"settings": self.settings, "database": self.database, "resolve": has_address}
        findings = await Doctor(**{**options, **changes}).run()
        return {finding.name: finding for finding in findings}

    def changed(self, section: str, **values: Any) -> Settings:
        part = getattr(self.settings, section).model_copy(update=values)
        return self.settings.model_copy(update={section: part})


async def has_address(_domain: str) -> bool:
    return True


@pytest.fixture
def doctor(
    io_loop: IOLoop,
    database: Database,
    secrets_file: Path,
    redis_url: str,
    tmp_path: Path,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[DoctorFixture]:
    monkeypatch.setattr("tencent.service_client.PAUSE_SECONDS", 0.001)
    base = {
        "mongodb": {"data_dir": tmp_path / "mongo"},
        "redis": {"url": redis_url},
        "age_verification": {"provider": "faceid"},
        "notices": {"template_id": "TEMPLATE"},
        "live_streaming": {"push_domain": "push.qlive.test", "play_domain": PLAY_DOMAIN},
    }
    settings, key = fill_in_secrets(Settings.model_validate(base), secrets_file)
    simulator = Simulator(settings, key, "http://127.0.0.1:9")
    fixture = DoctorFixture(settings, simulator, database)
    address = serve(fixture.answer)
    settings = settings.at("https://live.qlive.test", address)
    uploads = settings.uploads.model_copy(update={"public_url": f"{address}/cdn"})
    fixture.settings = settings.model_copy(update={"uploads": uploads})
    yield fixture
    fixture.released.set()
    io_loop.run_sync(simulator.delivery.quiet)
