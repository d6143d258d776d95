import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.node import run
from tests.phones import Street
from tests.realtime.listening import listen, until
from tests.realtime.test_folding import BLIPS, a_look, evening, look_until

pytestmark = pytest.mark.programs

ACTS = 80
CUTS = Path(__file__).parent / "fold_cuts.mjs"


@pytest.fixture
def changes() -> dict[str, Any]:
    """So short a patience that dropped connections come to something; whoever looks again and
    again is no flood."""
    patience = {"shown_after_seconds": 0.05, "guest_seconds": 0.7, "viewer_seconds": 1.5}
    limits = {"handshakes_per_second": 0}
    return {"presence": {**patience, "host_seconds": 120}, "limits": limits}


@pytest.mark.gen_test(timeout=90)
async def test_at_every_cut_the_sdks_fold_leads_to_the_later_snapshot(
    street: Street, tmp_path: Path
) -> None:
    here, watcher = await evening(street, seed=1)
    here.wishes |= BLIPS
    looker = await street.guest("looker", 0, here.live_id)
    async with listen(await watcher.connect()) as heard:
        cuts = []
        for n in range(ACTS):
            await here.act()
            cuts.append(await a_look(looker))
            if n % 50 == 25:  # the host, too
                await here.connect(here.host)
                cuts += await look_until(looker, "live")
                here.drop(here.host)
                cuts += await look_until(looker, "paused")
                await here.connect(here.host)
                cuts += await look_until(looker, "live")
        await here.each_once()
        cuts.append(await a_look(looker))
        (await here.host.post("qlive_room/live_end/", live_id=here.live_id)).ok()
        await until(lambda: '"type":"live_end"' in heard[-1])
    here.drop_all()
    events = [json.loads(text) for text in heard[1:]]
    assert events[0]["seq"] == 1, "what follows is found by its number"
    assert {event["type"] for event in events} >= {"member_away", "live_pause", "micro_accept"}
    story = tmp_path / "story.json"
    story.write_text(json.dumps({"cuts": cuts, "events": events}))
    compared = int(await run(CUTS, story))
    assert compared > 500
