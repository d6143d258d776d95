"""The commands of the README work, and its two languages have the same parts."""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from runtime.process import ServerProcess

pytestmark = pytest.mark.programs

README = Path("README.md").read_text()
CHINESE = Path("README.zh-CN.md").read_text()
TRANSLATIONS = {"README.md", "README.zh-CN.md"}


def block(language: str, begins: str) -> str:
    found = re.search(rf"```{language}\n({re.escape(begins)}.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def blocks(text: str) -> list[str]:
    return re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def heading_levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.MULTILINE)]


def links(text: str) -> Counter[tuple[str, str]]:
    """("!" for an image, target) of every link but those between the translations."""
    found = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", prose(text))
    return Counter((kind, target) for kind, target in found if target not in TRANSLATIONS)


@pytest.fixture
def demo_users() -> bool:
    return True


@pytest.mark.gen_test(timeout=60)
async def test_the_tour_of_the_readme_seats_a_guest_who_receives_every_event(
    server: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "listen.py").write_text(block("python", "import asyncio"))
    tour = block("sh", "base=").replace(".venv/bin/python", sys.executable)
    script = tour.replace("http://127.0.0.1:8000", server.address)
    for _ in range(2):  # the second time in another live session of the room
        bash = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", script),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        output = (await asyncio.wait_for(bash.communicate(), 60))[0].decode()
        assert bash.returncode == 0
        answers = [json.loads(line) for line in output.splitlines()]
        assert answers[1] == {"detail": "OK"}
        assert answers[2]["push_url"].startswith("rtmp://")
        assert answers[3][0]["room_name"] == "hongniang1"
        events = [frame["type"] for frame in answers[5:] if "seq" in frame and "data" in frame]
        assert events == ["snapshot", "micro_apply", "micro_accept", "live_end"]
        assert answers[-1]["code"] == 4510


def test_the_readme_names_every_folder_of_the_tree() -> None:
    folders = {path.parent.name for path in Path().glob("[a-z]*/__init__.py")}
    assert {"rooms", "handlers"} <= folders
    assert not {name for name in folders if f"`{name}/`" not in README}


def test_every_file_that_the_readmes_name_exists() -> None:
    for text in (README, CHINESE):
        targets = {path.split("#")[0] for path in re.findall(r"\]\(([^)]+)\)", text)}
        named = set(re.findall(r"`([a-z]+(?:/[a-z_]*)+(?:\.\w+)?)`", text))
        files = {path for path in targets | named - {"var/"} if "://" not in path}
        assert {"docs/pictures/demo-room.png", "docs/deploy.md", "rooms/room.py"} <= files
        assert {path for path in files if not Path(path).exists()} == set()


def test_both_readmes_have_the_same_headings_code_and_links() -> None:
    for text, other, translation in ((README, CHINESE, "zh-CN."), (CHINESE, README, "")):
        assert f"(README.{translation}md)" in text.splitlines()[2]
        assert len(blocks(text)) * 2 == text.count("```")
        assert heading_levels(text) == heading_levels(other)
        assert blocks(text) == blocks(other)
        assert links(text) == links(other)
    assert heading_levels(README).count(2) > 5
    assert ("!", "docs/pictures/demo-room.png") in links(README)
