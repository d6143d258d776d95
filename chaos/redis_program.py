"""The redis-server program of this machine."""

import shutil


class RedisNotInstalled(Exception):
    """Says what to run."""

    def __str__(self) -> str:
        return "redis-server is not installed; run `make setup`."


def find_redis() -> str:
    """Its path; RedisNotInstalled where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        raise RedisNotInstalled
    return program
