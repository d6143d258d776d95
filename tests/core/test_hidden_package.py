import json

import pytest

from core.hidden_package import hidden_package


def test_a_package_is_hidden_while_others_are_imported_and_found_afterwards() -> None:
    with hidden_package("wave"), pytest.raises(ImportError):
        import wave
    import wave

    assert wave


def test_a_package_that_is_loaded_is_not_hidden() -> None:
    with hidden_package("json"):
        import json as found
    assert found is json
