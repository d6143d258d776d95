import pytest

from services.jobs.inbox import DONE, CallbackOutcome, ignored, receive, refused
from storage.database import Database
from storage.jobs.inbox import InboxMessage, InboxStore

MESSAGE = InboxMessage("jsapi", "1", "", "{}")


class InboxFixture:
    """An inbox on MongoDB for callbacks of one outcome; counts how often they are carried out."""

    def __init__(self, database: Database, outcome: CallbackOutcome) -> None:
        self.database = database
        self.inbox = InboxStore(database)
        self.outcome = outcome
        self.count = 0

    async def handle(self) -> CallbackOutcome:
        self.count += 1
        return self.outcome

    async def receive(self, rejection: str = "") -> CallbackOutcome | None:
        return await receive(self.inbox, MESSAGE, rejection, self.handle)

    async def stored(self) -> list[tuple[str, str, int]]:
        rows = await self.database.collection("inbox").find().to_list()
        return [(row["outcome"], row["reason"], row["times"]) for row in rows]


@pytest.mark.parametrize(
    ("outcome", "repeated"),
    [
        (DONE, None),
        (ignored("unknown_event"), None),
        (refused("amount"), refused("amount")),
    ],
)
async def test_a_repeated_message_is_not_carried_out_and_refused_if_it_was(
    database: Database, outcome: CallbackOutcome, repeated: CallbackOutcome | None
) -> None:
    fixture = InboxFixture(database, outcome)
    assert [await fixture.receive(), await fixture.receive()] == [outcome, repeated]
    assert fixture.count == 1
    assert await fixture.stored() == [(outcome.outcome, outcome.reason, 2)]


async def test_concurrent_deliveries_have_one_stored_reason(database: Database) -> None:
    fixture = InboxFixture(database, refused("amount"))

    async def overtaken() -> CallbackOutcome:
        assert await fixture.receive() == refused("amount")
        return refused("payer")

    assert await receive(fixture.inbox, MESSAGE, "", overtaken) == refused("amount")
    assert await fixture.stored() == [("refused", "amount", 2)]


async def test_a_message_that_is_not_verified_is_refused_each_time(database: Database) -> None:
    fixture = InboxFixture(database, DONE)
    assert [await fixture.receive("sign"), await fixture.receive("sign")] == [refused("sign")] * 2
    assert fixture.count == 0
    assert await fixture.receive() == DONE
