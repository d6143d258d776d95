"""The measured servers: their commands and how the crowd connects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.benchmark import Peers
from bench.checkout import Checkout
from bench.fanout.control import EVENT

HERE = Path(__file__).parent
QLIVE_SOCKET_PATH = "/wx/api/qlive/ws/?live_id="
QLIVE = "QLive"


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A measured server: command, crowd options and the peer it requires."""

    name: str
    command: Sequence[str]
    options: Sequence[str] = ()
    requires: str = "Tornado"


def _python(module: str) -> list[str]:
    return Checkout().command(f"bench.fanout.peers.{module}")


def _node(script: str) -> list[str]:
    return ["node", "--expose-gc", str(HERE / "peers" / script)]


HUB_ONLY = "the QLive hub alone, without MongoDB"
TORNADO = "Tornado, `write_message` to each"
TORNADO_TUNED = "Tornado with QLive's GC settings"
PEER_SERVERS = (
    MeasuredServer(HUB_ONLY, _python("hub_only")),
    MeasuredServer(TORNADO, _python("tornado_")),
    MeasuredServer(TORNADO_TUNED, [*_python("tornado_"), "tuned-gc"]),
    MeasuredServer("`websockets`, `broadcast`", _python("websockets_"), requires="websockets"),
    MeasuredServer("node ws, `send` to each", _node("ws.mjs"), requires="ws"),
)


def environment(peers: Peers) -> Mapping[str, str]:
    variables = {"BENCH_EVENT": EVENT, "BENCH_MODULES": str(peers.package_json)}
    return Checkout().environment(variables)


async def qlive_server(
    uri: str, database: str, sockets: int, library: Path, checkout: Checkout, rooms: int = 1
) -> MeasuredServer:
    """The full QLive server; writes rooms and a viewer per socket to MongoDB."""
    guests = await checkout.create_guests(uri, database, rooms, sockets)
    token_file = library.with_name(f"tokens-{database}")
    token_file.write_text("".join(f"{guest.token} {guest.live_id}\n" for guest in guests))
    module, live_id = "bench.fanout.peers.qlive", str(guests[0].live_id)
    command = checkout.command(module, uri, database, live_id, str(library))
    options = ("-j", "-p", QLIVE_SOCKET_PATH, "-t", str(token_file))
    return MeasuredServer(QLIVE, command, options)
