import pytest

from runtime import jobs
from runtime.process import ServerProcess
from tencent import service_client
from tests.support.api import ApiFixture


@pytest.mark.gen_test(timeout=30)
async def test_an_idle_service_is_unknown_in_the_metrics(
    server: ServerProcess, api: ApiFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server.context
    await api.host()
    await jobs._watch_dependencies(context)
    assert 'qlive_dependency_up{dependency="im"} 1.0' in context.metrics.text().decode()
    monkeypatch.setattr(service_client, "FRESH_SECONDS", 0.0)
    await jobs._watch_dependencies(context)
    text = context.metrics.text().decode()
    assert 'dependency="im"' not in text
    assert 'qlive_dependency_up{dependency="mongodb"} 1.0' in text
