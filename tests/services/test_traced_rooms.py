"""Spans of changes that the keeper decides together."""

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rooms.errors import NotInRoom
from rooms.room import Room
from services.traced_rooms import TracedKeeper
from telemetry.traces import Traces
from tests.support.keeper import KeeperFixture
from tests.support.room_builders import ANNA, BERT, CARL, NOW, STRANGER

async_test = pytest.mark.gen_test(timeout=30)


class TracedFixture(KeeperFixture):
    """A KeeperFixture whose keeper is traced, and that collects the spans."""

    def __init__(self, *viewers: Any) -> None:
        super().__init__(*viewers)
        self._exporter = InMemorySpanExporter()
        self.traces = Traces(self._exporter, 1, "p")
        self.keeper = TracedKeeper(self.store, self.listener, self.traces)

    async def apply(self, person: Any) -> None:
        """A request of its own, in a trace of its own."""

        def rule(room: Room) -> None:
            room.apply(person, NOW, 600)

        with self.traces.outgoing(person.nickname):
            await self.keeper.change(1, rule, person.user_id)

    async def spans(self) -> dict[str, list[ReadableSpan]]:
        await self.traces.close()
        by_name: dict[str, list[ReadableSpan]] = {}
        for span in self._exporter.get_finished_spans():
            by_name.setdefault(span.name, []).append(span)
        return by_name


def trace_of(span: ReadableSpan) -> int:
    return span.context.trace_id


@async_test
async def test_a_commit_of_several_requests_is_linked_with_each_of_them() -> None:
    fixture = TracedFixture(ANNA, BERT, CARL)
    await asyncio.gather(*(fixture.apply(person) for person in (ANNA, BERT, CARL)))
    spans = await fixture.spans()
    anna, bert, carl = (spans[name][0] for name in ("anna", "bert", "carl"))
    [commit] = spans["room.commit"]
    changes = {trace_of(it): it for it in spans["keeper.change"]}
    first, *others = (changes[trace_of(it)] for it in (anna, bert, carl))
    assert commit.parent == first.context
    assert [it.context for it in commit.links] == [it.context for it in others]
    assert [[link.context for link in it.links] for it in others] == [[commit.context]] * 2
    published = [(trace_of(it), it.attributes["qlive.seq"]) for it in spans["event.publish"]]
    assert published == [(trace_of(it), seq) for seq, it in enumerate((anna, bert, carl), 1)]


@async_test
async def test_a_refused_change_has_no_part_in_the_commit_of_the_others() -> None:
    fixture = TracedFixture(ANNA, CARL)
    outcomes = await asyncio.gather(
        *(fixture.apply(person) for person in (ANNA, STRANGER, CARL)), return_exceptions=True
    )
    assert [type(it) for it in outcomes] == [type(None), NotInRoom, type(None)]
    spans = await fixture.spans()
    [commit] = spans["room.commit"]
    assert trace_of(commit) == trace_of(spans["anna"][0])
    assert [it.context.trace_id for it in commit.links] == [trace_of(spans["carl"][0])]


@async_test
async def test_a_repeated_change_is_published_once_in_its_trace() -> None:
    fixture = TracedFixture(BERT)
    fixture.store.conflicts = 1
    await fixture.apply(BERT)
    spans = await fixture.spans()
    assert len(spans["room.commit"]) == 2
    [published] = spans["event.publish"]
    assert trace_of(published) == trace_of(spans["bert"][0])


@async_test
async def test_events_of_nobody_and_changes_outside_a_trace_have_no_spans() -> None:
    fixture = TracedFixture(BERT)
    await fixture.keeper.change(1, lambda room: room.apply(BERT, NOW - 700_000, 600), BERT.user_id)
    fixture.take_calls()
    await fixture.keeper.change(1, lambda _room: None)  # the application has expired
    assert ("publish", 1, (2, "micro_refuse")) in fixture.take_calls()
    assert await fixture.spans() == {}
