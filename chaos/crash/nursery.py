"""Bears one server after the other: everything is imported once, and each is a fork of that.

A program of its own, without threads or a loop; its words are of `Nursery`, in births.py.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import socket
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

import logs
import worker
from chaos.crash import marks
from chaos.crash.steps import Death, Fate
from chaos.crash.watch import Watch
from devsecrets import DevSecrets, fill
from server import Server
from settings import Settings, load


def main(arguments: list[str]) -> None:
    """Reads fates, a line each; of every server it says when it is born and how it died."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, nargs="+", required=True)
    parser.add_argument("--simulator", required=True)
    asked = parser.parse_args(arguments)
    settings, dev = _settings()
    sockets = [socket.socket(fileno=number) for number in asked.sockets]
    for sock in sockets:
        sock.settimeout(0)  # never blocks
    first = True
    gc.freeze()
    for line in sys.stdin.buffer:
        lifeline, ours = socket.socketpair()
        place = worker.Place(sockets, lifeline, asked.simulator, first)
        first = False
        hear, say = os.pipe()
        pid = os.fork()
        if not pid:
            ours.close()
            os.close(hear)
            _live(Fate.read(line), settings, dev, place, say)
        os.close(say)
        with ours, lifeline:
            _wait(pid, hear)


def _settings() -> tuple[Settings, DevSecrets]:
    """As server.py reads them, and where it writes its log."""
    settings = load(Path("settings.yaml"), os.environ)
    logs.set_up(settings.logging.level, as_json=True)
    return fill(settings, settings.mongodb.data_dir.parent / "dev-secrets.json")


def _wait(pid: int, hear: int) -> None:
    """Until it is dead."""
    _tell({"pid": pid})
    with os.fdopen(hear, "rb") as pipe:
        said = Death.read(json.loads(pipe.read() or b"{}"))  # until nobody holds it any more
    _, status = os.waitpid(pid, 0)
    _tell(asdict(replace(said, status=os.waitstatus_to_exitcode(status))))


def _tell(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _live(
    fate: Fate, settings: Settings, dev: DevSecrets, place: worker.Place, say: int
) -> NoReturn:
    """The life of a server, as server.py has it for a worker."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def die(death: Death) -> None:
        os.write(say, json.dumps(asdict(death)).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    marks.put(Watch(fate, die))

    async def serve() -> None:
        server, asked_to_stop = Server(settings, dev, place), asyncio.Event()
        async with worker.lifeline(place, asked_to_stop, 0.0) as say_ready:
            await server.start()
            say_ready()
            await asked_to_stop.wait()

    try:
        asyncio.run(serve())
    except BaseException:  # noqa: BLE001 - the nursery's own life is not to go on here
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
