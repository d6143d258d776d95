"""Runs the SDK's node tests, alone and against a server."""

import json
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import run
from tests.support.paths import ROOT

pytestmark = pytest.mark.programs

FOLDER = Path(__file__).parent
SERVER_TESTS = FOLDER / "server.test.mjs"
UNIT_TESTS = sorted(set(FOLDER.glob("*.test.mjs")) - {SERVER_TESTS})
SDK = ROOT / "clients" / "miniprogram"
MAX_BYTES = 34 * 1024
MAX_FOLD_BYTES = 6 * 1024
LITE_CHAT = """declare module "@tencentcloud/lite-chat" {
  const chat: import("qlive-miniprogram").LiteChat;
  export default chat;
}
"""
SHOW_NAMES = "module => console.log(Object.keys(module).sort())"
BUNDLES = [
    ("qlive-miniprogram", "qlive.js", "qlive.cjs", "wx/index.js"),
    ("qlive-miniprogram/texts", "texts.js", "texts.cjs", "wx/texts.js"),
]
"""Name of the module, its source, and its bundles."""
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "sdk"))


async def run_tests(*files: Path, **environment: str) -> None:
    """Runs node tests, of which none may fail or be skipped."""
    output = await run("--test", "--test-reporter=tap", *files, **environment)
    summary = dict(re.findall(r"^# (\w+) (\d+)$", output, re.MULTILINE))
    assert (summary["skipped"], summary["todo"]) == ("0", "0"), output
    assert int(summary["pass"]) > len(files), output


async def check_types(folder: Path, files: list[Path], **options: Any) -> None:
    """Compiles files as strict TypeScript, with these options beside those of tsconfig.json."""
    names = [str(file) for file in files]
    extended = str(FOLDER / "tsconfig.json")
    config = {"extends": extended, "compilerOptions": options, "files": names}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    await run(SDK / "node_modules" / "typescript" / "bin" / "tsc", "--project", folder)


async def test_sdk_unit_tests_pass():
    await run_tests(*UNIT_TESTS)


@pytest.mark.parametrize("changes", [{"pay": {"provider": "xpay"}}])
async def test_sdk_works_against_the_server(api):
    token = await api.operator_token()
    await run_tests(SERVER_TESTS, QLIVE_ADDRESS=api.address, QLIVE_OPS_TOKEN=token)


def test_calls_and_types_of_the_sdk_are_those_of_the_server():
    for path, text in SCRIPT["texts"]().items():
        assert path.read_text() == text, "run `make sdk`"


async def test_the_packed_sdk_installs_into_an_empty_project_and_type_checks(tmp_path):
    npm = Path(shutil.which("npm") or "npm").resolve()
    sources = tmp_path / "sdk"
    shutil.copytree(SDK, sources, ignore=shutil.ignore_patterns("dist", "node_modules"))
    (sources / "node_modules").symlink_to(SDK / "node_modules")
    await run(sources / "build.mjs")
    await run(npm, "pack", "--silent", "--pack-destination", tmp_path, sources)
    (tarball,) = tmp_path.glob("*.tgz")
    publint = SDK / "node_modules" / "publint" / "src" / "cli.js"
    assert "All good" in await run(publint, "run", tarball, "--strict")
    await run(npm, "install", "--offline", "--no-audit", "--prefix", tmp_path, tarball)
    package = tmp_path / "node_modules" / "qlive-miniprogram"
    usage = Path(shutil.copy(FOLDER / "usage.ts", tmp_path))
    await check_types(tmp_path, [usage], paths={}, module="node16")

    for name, source, *outputs in BUNDLES:
        required = f"require('module').createRequire({f'{tmp_path}/'!r})({name!r})"
        imported = f"import({str(SDK / 'src' / source)!r}).then({SHOW_NAMES})"
        names = await run("--eval", f"({SHOW_NAMES})({required})")
        assert names == await run("--eval", imported)
        bundles = [package / "dist" / output for output in outputs]
        assert max(bundle.stat().st_size for bundle in bundles) <= MAX_BYTES
        cjs, wx = (bundle.read_text().rpartition("//# sourceMappingURL=") for bundle in bundles)
        assert cjs[0] == wx[0]
        assert (bundles[1].parent / wx[2].strip()).exists()


async def test_the_snippets_of_the_readme_are_strict_typescript(tmp_path):
    await run(FOLDER / "snippets.mjs", SDK / "README.md", tmp_path)
    found = sorted(tmp_path.glob("*.ts"))
    assert len(found) == (SDK / "README.md").read_text().count("```js")
    (tmp_path / "lite-chat.d.ts").write_text(LITE_CHAT)
    paths = {
        "qlive-miniprogram": [str(SDK / "index.d.ts")],
        "qlive-miniprogram/texts": [str(SDK / "texts.d.ts")],
    }
    await check_types(tmp_path, [*found, tmp_path / "lite-chat.d.ts"], paths=paths)


async def test_an_app_bundles_what_it_imports(tmp_path):
    entry = tmp_path / "entry.mjs"
    entry.write_text(f"export {{ fold }} from {str(SDK / 'src' / 'qlive.js')!r}")
    esbuild = SDK / "node_modules" / "esbuild" / "bin" / "esbuild"
    bundle = await run(esbuild, entry, "--bundle", "--minify", "--format=esm", "--target=es2017")
    assert 0 < len(bundle) <= MAX_FOLD_BYTES
