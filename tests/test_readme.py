import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from server import Server

pytestmark = pytest.mark.programs

README = Path("README.md").read_text()


def block(language: str, begins: str) -> str:
    found = re.search(rf"```{language}\n({re.escape(begins)}.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def demo_people() -> bool:
    return True


@pytest.mark.gen_test(timeout=60)
async def test_the_readmes_tour_seats_a_guest_who_hears_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "listen.py").write_text(block("python", "import asyncio"))
    tour = block("sh", "base=").replace(".venv/bin/python", sys.executable)
    script = tour.replace("http://127.0.0.1:8000", server.address)
    for _ in range(2):  # and once more, in a new life of the room
        bash = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await asyncio.wait_for(bash.communicate(), 25))[0].decode()
        assert bash.returncode == 0
        answers = [json.loads(line) for line in said.splitlines()]
        assert answers[1] == {"detail": "OK"}
        assert answers[2]["push_url"].startswith("rtmp://")
        assert answers[3][0]["room_name"] == "hongniang1"
        heard = [frame["type"] for frame in answers[5:] if "seq" in frame and "data" in frame]
        assert heard == ["snapshot", "micro_apply", "micro_accept", "live_end"]
        assert answers[-1]["code"] == 4510


def test_the_readme_names_every_folder_of_the_tree() -> None:
    folders = {path.parent.name for path in Path().glob("[a-z]*/__init__.py")}
    assert {"rooms", "handlers"} <= folders
    assert not {name for name in folders if f"`{name}/`" not in README}


def test_every_file_that_the_readme_shows_or_names_is_there() -> None:
    named = {path.split("#")[0] for path in re.findall(r"\]\(([^)]+)\)", README)}
    ours = {path for path in named if "://" not in path}
    assert {"docs/pictures/demo-room.png", "docs/deploy.md"} <= ours
    assert {path for path in ours if not Path(path).exists()} == set()
