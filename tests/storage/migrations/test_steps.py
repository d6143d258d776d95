from pathlib import Path

from storage.migrations.steps import MIGRATIONS, SCHEMA

FOLDER = Path(__file__).parents[3] / "storage" / "migrations"


def test_migrations_are_numbered_without_gaps_as_their_files() -> None:
    assert [migration.number for migration in MIGRATIONS] == list(range(1, SCHEMA + 1))
    assert sorted(path.stem for path in FOLDER.glob("[0-9]*.py")) == [
        f"{migration.number:04}_{migration.name}" for migration in MIGRATIONS
    ]


def test_a_migration_demands_no_server_newer_than_itself() -> None:
    oldest = [migration.oldest for migration in MIGRATIONS]
    assert oldest == sorted(oldest)
    assert all(migration.oldest <= migration.number for migration in MIGRATIONS)
