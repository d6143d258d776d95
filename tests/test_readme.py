"""The commands of the README work, in both languages."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

README = Path("README.md").read_text()
BOTH = (README, Path("README.zh-CN.md").read_text())


def block(language: str, begins: str) -> str:
    found = re.search(rf"```{language}\n({re.escape(begins)}.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def demo_users():
    return True


async def test_the_tour_of_the_readme_seats_a_guest_who_receives_every_event(server, tmp_path):
    (tmp_path / "listen.py").write_text(block("python", "import asyncio"))
    tour = block("sh", "base=").replace(".venv/bin/python", sys.executable)
    script = tour.replace("http://127.0.0.1:8000", server.address)
    for _ in range(2):  # the second time in another live session of the room
        bash = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        output = (await bash.communicate())[0].decode()
        assert bash.returncode == 0
        answers = [json.loads(line) for line in output.splitlines()]
        assert answers[1] == {"detail": "OK"}
        assert answers[2]["push_url"].startswith("rtmp://")
        assert answers[3][0]["room_name"] == "hongniang1"
        events = [frame["type"] for frame in answers[5:] if "seq" in frame and "data" in frame]
        assert events == ["snapshot", "micro_apply", "micro_accept", "live_end"]
        assert answers[-1]["code"] == 4510


def test_the_readme_names_every_folder_of_the_tree():
    folders = {path.parent.name for path in Path().glob("[a-z]*/__init__.py")}
    assert {"rooms", "handlers"} <= folders
    assert not {name for name in folders if f"`{name}/`" not in README}


def test_every_file_that_the_readmes_name_exists():
    for text in BOTH:
        targets = {path.split("#")[0] for path in re.findall(r"\]\(([^)]+)\)", text)}
        named = set(re.findall(r"`([a-z]+(?:/[a-z_]*)+(?:\.\w+)?)`", text))
        files = {path for path in targets | named - {"var/"} if "://" not in path}
        assert {"docs/pictures/demo-room.png", "docs/deploy.md", "rooms/room.py"} <= files
        assert {path for path in files if not Path(path).exists()} == set()


def test_both_readmes_have_the_same_code_and_headings():
    code = [re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE) for text in BOTH]
    assert code[0] == code[1]
    headings = [re.findall(r"^(#+) ", text, re.MULTILINE) for text in BOTH]
    assert headings[0] == headings[1]
