"""Static files of the console and the demo room."""

import re

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from handlers.routes import application

pytestmark = pytest.mark.programs

PAGES = ["/", "/ops/"]
FILES = [
    *PAGES,
    *("/demo/index.html", "/demo/app.js", "/demo/shared/dom.js", "/sdk/qlive.js"),
    *("/ops/app.js", "/ops/shared/dom.js"),
]
MISSING = [
    *("/demo/..%2f..%2fserver.py", "/sdk/..%2fpackage.json"),
    *("/ops/shared/..%2fapp.js", "/ops/..%2f..%2fserver.py", "/ops/api"),
]


async def test_pages_have_a_strict_content_security_policy(api):
    for path in FILES:
        response = await api.request("GET", path)
        assert response.status == 200, path
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        if path in PAGES:
            inline = r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle="
            assert not re.search(inline, response.text), path
    for path in MISSING:
        assert (await api.request("GET", path)).refusal == (404, "no_such_thing"), path


async def test_demo_pages_do_not_exist_without_the_simulator(server):
    http_server = HTTPServer(application(server.context))
    listener, port = bind_unused_port()
    http_server.add_socket(listener)
    try:
        for path in ("/", "/demo/app.js", "/demo/shared/dom.js", "/sdk/qlive.js"):
            url = f"http://127.0.0.1:{port}{path}"
            response = await AsyncHTTPClient().fetch(url, raise_error=False)
            assert response.code == 404, path
            assert b'"no_such_thing"' in response.body
    finally:
        http_server.stop()
        await http_server.close_all_connections()
