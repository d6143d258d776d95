"""Users who take part in a load test: from tokens, or from the simulator of development."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import StartupError
from loadtest.http_client import BASE, NO_ANSWER, HttpAnswer, HttpClient
from loadtest.options import LoadOptions

DEMO_HOSTS = ("hongniang1", "hongniang2")
"""The matchmakers of the demo data."""
ATTEMPTS = 10
CONCURRENT = 32
AGAIN = (429, 503)


OpenClient = Callable[[str], HttpClient]
"""A client for a token."""


@dataclass(slots=True)
class Account:
    """A user who is signed in."""

    user_id: str
    http: HttpClient
    is_matchmaker: bool = False


async def accounts_of(options: LoadOptions, open_client: OpenClient) -> list[Account]:
    """`users` of the test, those who can be hosts first. Raises StartupError.

    All tokens are signed in, since only the answers say who can be a host.
    """
    slots = asyncio.Semaphore(CONCURRENT)

    async def account(source: tuple[str, str]) -> Account:
        token, name = source
        async with slots:
            http = open_client(token)
            http.token = token or await _sign_in(http, name)
            user = await patiently(http, "GET", BASE + "qlive_user/get_userinfo/")
            return Account(user["user_id"], http, user["is_matchmaker"])

    accounts = await gathered([account(source) for source in _sources(options)])
    accounts.sort(key=lambda account: not account.is_matchmaker)
    hosts = sum(account.is_matchmaker for account in accounts)
    if hosts < options.mix.hosts:
        raise StartupError(
            f"{hosts} of the users are matchmakers, and {options.mix.hosts} must be hosts; "
            "`server.py matchmaker USER_ID` makes a user one."
        )
    return accounts[: options.users]


async def gathered(work: Sequence[Any]) -> list[Any]:
    """The results; the first error ends the others."""
    tasks = [asyncio.ensure_future(it) for it in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def patiently(
    http: HttpClient, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    """The JSON of an answer that must be 200; waits for rate limits. Raises StartupError."""
    answer = HttpAnswer()
    for _ in range(ATTEMPTS):
        answer = await http.request(method, path, body)
        if answer.ok:
            return answer.json
        if answer.status not in AGAIN:
            break
        await asyncio.sleep(answer.retry_after)
    raise StartupError(_reason(path, answer))


def _reason(path: str, answer: HttpAnswer) -> str:
    if answer.status == NO_ANSWER:
        return f"The deployment does not answer {path}."
    if answer.status == 401:
        return "A token is wrong or expired; sign its user in again."
    if path.startswith("/sim/"):
        return "The deployment has no simulator; name a file of tokens with --tokens."
    return f"The deployment answers {path} with {answer.status} {answer.json.get('code', '')}."


def _sources(options: LoadOptions) -> list[tuple[str, str]]:
    """Token, or "" and a name to sign in with, of each user."""
    if options.tokens is not None:
        return [(token, "") for token in options.tokens]
    hosts = options.mix.hosts
    if hosts > len(DEMO_HOSTS):
        raise StartupError(
            f"The demo data has {len(DEMO_HOSTS)} hosts, fewer than {hosts}; use --tokens."
        )
    names = [*DEMO_HOSTS[:hosts], *(f"load{n}" for n in range(options.users - hosts))]
    return [("", name) for name in names]


async def _sign_in(http: HttpClient, name: str) -> str:
    """The token of a user of the simulator, who is registered if new."""
    gender = 2 if name in DEMO_HOSTS else 1
    login = await patiently(http, "POST", "/sim/phone/login", {"name": name, "gender": gender})
    account = await patiently(http, "POST", f"{BASE}qlive_user/", login)
    token: str = account["token"]
    return token
