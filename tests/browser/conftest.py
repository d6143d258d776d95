"""One headless Chromium per pytest worker and a new browser context per test."""

import asyncio
import shutil

import pytest
from playwright.async_api import Error, async_playwright, expect

from tests.browser.pages.windows import RECORD_TOASTS, BrowserLog
from tests.support.event_loops import CANCEL_SECONDS, new_loop

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A quarter less CPU time: the windows of a test share a renderer, and fewer processes talk.
    "--process-per-site",
    "--enable-features=NetworkServiceInProcess2",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

TIMEOUT_MS = 60_000
"""By default 30 s, and 5 s to expect something, which a busy machine may need."""

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def browser_loop():
    """The event loop of the browser's driver, which lives as long as the worker."""
    with new_loop() as loop:
        yield loop


@pytest.fixture
def io_loop(browser_loop):
    """The browser's event loop; tasks that a test leaves on it are cancelled after the test."""
    loop = browser_loop.asyncio_loop
    asyncio.set_event_loop(loop)
    before = asyncio.all_tasks(loop)
    yield browser_loop
    if tasks := asyncio.all_tasks(loop) - before:
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_SECONDS))
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def browser(browser_loop):
    """Debian's chromium-headless-shell or chromium, else the one that Playwright installs."""
    playwright, browser = browser_loop.run_sync(_launch)
    yield browser
    browser_loop.run_sync(browser.close)
    browser_loop.run_sync(playwright.stop)


@pytest.fixture
def expected_errors():
    """Parts of console errors that a test may cause; folders may override this."""
    return ()


@pytest.fixture
def browser_log(io_loop, browser, server, expected_errors):
    """Of windows without animations, which cost CPU time.

    Fails on requests to other hosts and on errors in their consoles.
    """
    context = io_loop.run_sync(lambda: browser.new_context(reduced_motion="reduce"))
    context.set_default_timeout(TIMEOUT_MS)
    io_loop.run_sync(lambda: context.add_init_script(RECORD_TOASTS))
    log = BrowserLog(context, expected_errors)
    yield log
    io_loop.run_sync(context.close)
    websocket_origin = server.address.replace("http", "ws", 1)
    log.check(f"{server.address}/", f"{websocket_origin}/", "data:")


async def _launch():
    installed = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if installed and installed.startswith("/snap/"):
        installed = None  # Ubuntu's, which Playwright cannot drive
    playwright = await async_playwright().start()
    try:
        return playwright, await playwright.chromium.launch(executable_path=installed, args=FLAGS)
    except Error as failed:
        await playwright.stop()
        if "Executable doesn't exist" not in failed.message:
            raise
    pytest.fail("Chromium is not installed; run `make setup`.", pytrace=False)
