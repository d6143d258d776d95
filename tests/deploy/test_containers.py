import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from settings import load
from tests.deploy.filled import fill_in, filled_secrets
from tests.deploy.front import DEPLOY
from tests.deploy.release import unpack
from tests.test_server import ROOT

pytestmark = pytest.mark.programs

SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_the_image_has_every_file_that_the_server_needs(tmp_path: Path) -> None:
    unpack(tmp_path)
    words = [sys.executable, "server.py", "openapi"]
    env = {"QLIVE_MONGODB__DATA_DIR": str(tmp_path / "mongo")}
    said = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["openapi"]
    assert (tmp_path / "web" / "ops").is_dir()


def test_what_is_built_from_is_the_source_alone() -> None:
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv*", ".bench", "var", "deploy/secrets.env"} <= set(left_out)
    assert not {"handlers", "clients", "web", "settings.yaml"} & set(left_out)


def test_the_database_is_a_replica_set_as_mongod_conf_makes_one() -> None:
    asked = SERVICES["mongodb"]["command"]
    assert "transactionLifetimeLimitSeconds=5" in asked
    assert "--replSet" in asked


def test_the_server_in_its_container_finds_the_others_and_starts_in_production(
    tmp_path: Path,
) -> None:
    fill_in(tmp_path / "settings.yaml")
    server = SERVICES["qlive"]
    assert server["env_file"] == ["secrets.env"]
    settings = load(tmp_path / "settings.yaml", {**filled_secrets(), **server["environment"]})
    assert settings.environment == "production"
    assert settings.server.host == "0.0.0.0"
    assert server["ports"] == [f"127.0.0.1:8000:{settings.server.port}"]
    assert settings.mongodb.uri == "mongodb://mongodb:27017/?replicaSet=qlive"
    assert settings.redis.url == "redis://redis:6379/0"
    assert {"mongodb", "redis"} == set(server["depends_on"]) == set(SERVICES) - {"qlive"}
    (mounted,) = server["volumes"]
    assert server["command"] == ["--settings", mounted.split(":")[1]]


def test_containers_have_the_time_to_drain_that_machines_have() -> None:
    assert "TimeoutStopSec=70\n" in (DEPLOY / "qlive.service").read_text()
    assert SERVICES["qlive"]["stop_grace_period"] == "70s"


def test_whoever_reads_them_is_told_that_they_are_not_run() -> None:
    for name in ("Dockerfile", "compose.yaml"):
        assert "Not run by CI" in (DEPLOY / name).read_text().splitlines()[0]
