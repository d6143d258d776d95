"""Changes of IM groups that the server does not know of, for tests and demonstrations."""

import asyncio
from typing import Any

from devtools.simulator.reports import (
    SimulatedImCallbacks,
    SimulatedNotification,
    post_notification,
)
from devtools.simulator.wire import SimulatorReply, SimulatorRequest, bad_request, json_reply

STRANGER = "other_owner"
"""Account that owns a taken group."""


class SimulatedGroupChanges:
    """`groups` (GroupId -> create_group request) are those of SimulatedIm."""

    def __init__(self, groups: dict[str, dict[str, Any]], callbacks: SimulatedImCallbacks) -> None:
        self._groups = groups
        self._callbacks = callbacks
        self._tasks: set[asyncio.Task[int]] = set()

    def answer(self, request: SimulatorRequest) -> SimulatorReply:
        """`{group_id, outcome, report?}`.

        `outcome`: dissolved, or taken: a group of another owner has this id. `report`: once, or
        never, as if the callback were lost; a dissolved group only.
        """
        params = request.json_object() or {}
        group_id, outcome = params.get("group_id"), params.get("outcome")
        report = params.get("report", "once")
        if not isinstance(group_id, str) or not group_id:
            return bad_request("group_id: a text")
        if outcome not in ("dissolved", "taken") or report not in ("once", "never"):
            return bad_request("outcome: dissolved or taken; report: once or never")
        group = self._groups.pop(group_id, None)
        if outcome == "taken":
            self._groups[group_id] = {**(group or {}), "Owner_Account": STRANGER}
        elif group is None:
            return bad_request("group_id: there is no such group")
        elif report == "once":
            self._send(self._callbacks.group_destroyed(group_id, group))
        return json_reply({"groups": sorted(self._groups)})

    def _send(self, callback: SimulatedNotification) -> None:
        """Once: IM repeats no callback unless its console says so."""
        task = asyncio.get_running_loop().create_task(post_notification(callback))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
