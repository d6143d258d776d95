"""The API documentation in Swagger UI."""

from typing import Any

from playwright.async_api import Locator, Page, Route

from tests.support.api import BASE


class SwaggerPage:
    """Swagger UI with "Try it out". Operations are written as "GET path"."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self._url = f"{address}/docs/"

    async def open(self, *operations: str) -> None:
        """Opens the page with these operations only, and without schemas.

        Swagger UI works through the whole description for every operation that is opened or
        executed: two seconds of CPU time each, if it holds all of them."""
        paths = {_path(operation) for operation in operations}

        async def fulfil(route: Route) -> None:
            response = await route.fetch()
            document = await response.json()
            document["paths"] = {path: document["paths"][path] for path in paths}
            security_schemes = document["components"]["securitySchemes"]
            document["components"] = {"securitySchemes": security_schemes}
            for methods in document["paths"].values():
                for operation in methods.values():
                    operation["responses"] = {"200": {"description": "OK"}}
                    for content in operation.get("requestBody", {}).get("content", {}).values():
                        del content["schema"]
            await route.fulfill(response=response, json=document)

        await self.page.route("**/docs/openapi.json", fulfil)
        await self.page.goto(self._url)

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


def _path(operation: str) -> str:
    path = operation.split()[1]
    return path if path.startswith("/") else BASE + path
