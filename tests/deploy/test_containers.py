import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from config.loading import load
from tests.support.filled_settings import fill_in, filled_secrets
from tests.support.nginx import DEPLOY
from tests.support.paths import ROOT
from tests.support.production_settings import PRODUCTION
from tests.support.release import unpack

pytestmark = pytest.mark.programs

SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_image_contains_every_file_the_server_needs(tmp_path: Path) -> None:
    unpack(tmp_path)
    command = [sys.executable, "server.py", "openapi"]
    env = PRODUCTION  # the image has no devtools/
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["openapi"]
    assert (tmp_path / "web" / "ops").is_dir()


def test_docker_build_context_contains_only_source_files() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv*", ".bench", "var", "deploy/secrets.env"} <= set(ignored)
    assert not {"handlers", "clients", "web", "settings.yaml"} & set(ignored)


def test_mongodb_container_runs_a_replica_set_with_the_same_limits() -> None:
    command = SERVICES["mongodb"]["command"]
    assert "transactionLifetimeLimitSeconds=5" in command
    assert "--replSet" in command


def test_container_settings_load_in_production(
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
    (volume,) = server["volumes"]
    assert server["command"] == ["--settings", volume.split(":")[1]]


def test_container_stop_grace_period_equals_the_systemd_timeout() -> None:
    assert "TimeoutStopSec=70\n" in (DEPLOY / "qlive.service").read_text()
    assert SERVICES["qlive"]["stop_grace_period"] == "70s"


def test_image_starts_in_production_unless_told_otherwise() -> None:
    assert "\nENV QLIVE_ENVIRONMENT=production\n" in (DEPLOY / "Dockerfile").read_text()


def test_container_files_state_that_ci_does_not_run_them() -> None:
    for name in ("Dockerfile", "compose.yaml"):
        assert "Not run by CI" in (DEPLOY / name).read_text().splitlines()[0]
