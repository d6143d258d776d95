"""Finds the redis-server program of this machine."""

import shutil


class RedisNotInstalled(Exception):
    def __str__(self) -> str:
        return "redis-server is not installed; run `make setup`."


def find_redis() -> str:
    """Path of redis-server. Raises RedisNotInstalled."""
    program = shutil.which("redis-server")
    if program is None:
        raise RedisNotInstalled
    return program
