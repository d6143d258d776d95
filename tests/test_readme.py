import asyncio
import re
from pathlib import Path

import pytest

from server import Server

README = Path("README.md").read_text()


@pytest.mark.gen_test(timeout=30)
async def test_the_readmes_tour_seats_a_guest(server: Server) -> None:
    tour = re.search(r"```sh\n(base=.*?)```", README, re.DOTALL)
    assert tour
    script = tour[1].replace("http://127.0.0.1:8000", server.address)
    bash = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(bash.communicate(), 20)
    assert bash.returncode == 0
    assert '{"detail":"OK"}' in said.decode()
    assert '"push_url":"rtmp://' in said.decode()
    assert '"room_name":"hongniang1"' in said.decode()


def test_the_readme_names_every_folder_of_the_tree() -> None:
    folders = {path.parent.name for path in Path().glob("[a-z]*/__init__.py")}
    assert {"rooms", "handlers"} <= folders
    assert not {name for name in folders if f"`{name}/`" not in README}
