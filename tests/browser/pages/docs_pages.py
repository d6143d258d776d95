"""The API documentation: Swagger UI and the page of the WebSocket."""

from typing import Any

from playwright.async_api import Locator, Page, Route

from tests.support.api import BASE
from tests.support.json_references import references


class SwaggerPage:
    """Swagger UI with "Try it out". Operations are written as "GET path"."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.operations = page.locator(".opblock")
        self._url = f"{address}/docs/"

    async def open(self) -> None:
        await self.page.goto(self._url)

    async def keep_operations(self, *operations: str) -> None:
        """Removes the other operations from the description before the page loads it.

        Swagger UI works through the whole description for every operation that is opened or
        executed: two seconds of CPU time each, if it holds all of them."""
        paths = {_path(operation) for operation in operations}

        async def fulfil(route: Route) -> None:
            response = await route.fetch()
            await route.fulfill(response=response, json=_reduced(await response.json(), paths))

        await self.page.route("**/docs/openapi.json", fulfil)

    async def authorize_operator(self, token: str) -> None:
        await self.page.locator(".btn.authorize").first.click()
        form = self.page.locator(
            ".auth-container", has=self.page.locator("code", has_text="ops.token")
        )
        await form.locator("input").fill(token)
        await form.get_by_role("button", name="Apply credentials").click()
        await self.page.get_by_role("button", name="Close").first.click()

    async def execute(self, operation: str, body: str | None = None) -> Any:
        """Presses "Try it out", if needed, and "Execute"; the JSON of the response."""
        method = operation.split(maxsplit=1)[0]
        block = self._block(method, _path(operation))
        execute = block.get_by_role("button", name="Execute", exact=True)
        if not await execute.count():
            await block.locator(".opblock-summary-control").click()
            await block.get_by_role("button", name="Try it out").click()
        if body is not None:
            await block.locator("textarea.body-param__text").fill(body)
        async with self.page.expect_response(
            lambda response: response.request.method == method
        ) as received:
            await execute.click()
        response = await received.value
        assert response.status == 200, await response.text()
        await block.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
        return await response.json()

    def _block(self, method: str, path: str) -> Locator:
        return self.page.locator(f'.opblock-{method.lower()}:has([data-path="{path}"])')


class WebSocketDocsPage:
    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._url = f"{address}/docs/socket/"

    async def open(self) -> None:
        await self.page.goto(self._url)

    def event_heading(self, event_type: str) -> Locator:
        return self.page.locator(f"h3#{event_type}")


def _path(operation: str) -> str:
    path = operation.split()[1]
    return path if path.startswith("/") else BASE + path


def _reduced(document: dict[str, Any], paths: set[str]) -> dict[str, Any]:
    """The OpenAPI document with these paths, their 200 responses and the components they use."""
    document["paths"] = {path: item for path, item in document["paths"].items() if path in paths}
    for path_item in document["paths"].values():
        for operation in path_item.values():
            operation["responses"] = {"200": operation["responses"]["200"]}
    components = document["components"]
    kept: dict[str, Any] = {"securitySchemes": components["securitySchemes"]}
    needed = set(references(document["paths"]))
    while needed:
        kind, name = needed.pop().removeprefix("#/components/").split("/")
        component = kept.setdefault(kind, {})[name] = components[kind][name]
        needed |= {
            reference
            for reference in references(component)
            if reference.rpartition("/")[2] not in kept.get(reference.split("/")[2], ())
        }
    return document | {"components": kept}
