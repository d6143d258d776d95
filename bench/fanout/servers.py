"""The measured servers: their commands and how the crowd connects."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.checkout import Checkout

QLIVE_SOCKET_PATH = "/wx/api/qlive/ws/?live_id="
QLIVE = "QLive"


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A measured server: command, crowd options, the peer it requires and its checkout."""

    name: str
    command: Sequence[str]
    options: Sequence[str] = ()
    requires: str = "Tornado"
    checkout: Checkout = field(default_factory=Checkout)
    database: str = ""


def _python(module: str) -> list[str]:
    return Checkout().command(f"bench.fanout.peers.{module}")


NODE = ["node", "--expose-gc", str(Path(__file__).parent / "peers" / "ws.mjs")]
HUB_ONLY = "the QLive hub alone, without MongoDB"
TORNADO = "Tornado, `write_message` to each"
TORNADO_TUNED = "Tornado with QLive's GC settings"
PEER_SERVERS = (
    MeasuredServer(HUB_ONLY, _python("hub_only")),
    MeasuredServer(TORNADO, _python("tornado_")),
    MeasuredServer(TORNADO_TUNED, [*_python("tornado_"), "tuned-gc"]),
    MeasuredServer("`websockets`, `broadcast`", _python("websockets_"), requires="websockets"),
    MeasuredServer("node ws, `send` to each", NODE, requires="ws"),
)


async def qlive_server(
    uri: str, database: str, sockets: int, library: Path, checkout: Checkout, rooms: int = 1
) -> MeasuredServer:
    """Return the full QLive server; write rooms and a viewer per socket to MongoDB."""
    guests = await checkout.create_guests(uri, database, rooms, sockets)
    token_file = library.with_name(f"tokens-{database}")
    token_file.write_text("".join(f"{guest.token} {guest.live_id}\n" for guest in guests))
    module, live_id = "bench.fanout.peers.qlive", str(guests[0].live_id)
    command = checkout.command(module, uri, database, live_id, str(library))
    options = ("-j", "-p", QLIVE_SOCKET_PATH, "-t", str(token_file))
    return MeasuredServer(QLIVE, command, options, checkout=checkout, database=database)
