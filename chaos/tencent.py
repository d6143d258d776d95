"""Simulated WeChat and Tencent in this process, which all servers of a run call."""

import json
from typing import Any

from tornado.httpserver import HTTPServer

from config.settings import Settings
from devtools.simulator.simulator import Simulator
from devtools.simulator.wire import SimulatorRequest
from runtime.process import address_of, listen
from tests.support.tencent import responder_application


class SharedTencent:
    """A login code is valid at every server, and a group exists for every server's relay."""

    def __init__(self, settings: Settings, simulator_key: str, server_address: str = "") -> None:
        """`server_address` receives pushes and callbacks; without it, nothing does."""
        sockets = listen("127.0.0.1", 0)
        self.root = address_of("127.0.0.1", sockets)
        self.address = f"{self.root}/sim"
        self.simulator = Simulator(settings, simulator_key, server_address)
        self._http = HTTPServer(responder_application(self.simulator.answer))
        self._http.add_sockets(sockets)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of a server that calls this simulator."""
        paths = {"WECHAT": "", "IM": "", "PAY": "", "LIVE_STREAMING": "/live"}
        return {f"QLIVE_{name}__API_BASE": self.address + path for name, path in paths.items()}

    async def simulate(self, path: str, **params: Any) -> Any:
        """Call the simulator, in this process; returns its answer.

        That of /phone/login is the login data of a phone: appId, code, encryptedData, iv.
        """
        body = json.dumps(params).encode()
        reply = await self.simulator.answer(SimulatorRequest("POST", path, body=body))
        return json.loads(reply.body)

    async def stop(self) -> None:
        self._http.stop()
        await self._http.close_all_connections()
