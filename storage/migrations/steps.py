"""All migrations, in order: the modules of this folder whose names begin with a number."""

from importlib import import_module
from pathlib import Path

from storage.migrations.migration import Migration


def _load(file: Path) -> Migration:
    migration = import_module(f"{__package__}.{file.stem}").MIGRATION
    assert isinstance(migration, Migration)
    return migration


MIGRATIONS = tuple(_load(file) for file in sorted(Path(__file__).parent.glob("[0-9]*_*.py")))
SCHEMA = len(MIGRATIONS)
"""The schema that this server reads and writes."""
