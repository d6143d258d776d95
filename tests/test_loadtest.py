"""The users of the load test fit the present API; Locust is not part of this environment."""

import re
from fnmatch import fnmatch

from handlers.base import Handler
from handlers.routes import API_ROUTES
from tests.support.paths import ROOT

CALL = re.compile(r'self\.call\(\s*"(GET|POST)", f?"([^"]+)"')


def test_every_call_of_the_load_test_is_in_the_api() -> None:
    source = (ROOT / "loadtest" / "locustfile.py").read_text()
    calls = set(CALL.findall(source))
    assert len(re.findall(r"self\.call\(", source)) == len(CALL.findall(source)) > 10
    offered = {
        (method, route.path)
        for route in API_ROUTES
        for method in ("GET", "POST")
        if getattr(route.handler, method.lower()) is not getattr(Handler, method.lower())
    }
    for method, path in calls:
        pattern = re.sub(r"\{.*?\}", "*", path)
        assert [it for it in offered if it[0] == method and fnmatch(it[1], pattern)], path
