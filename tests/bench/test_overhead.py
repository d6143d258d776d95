"""The variants of the benchmark of overhead fit the present code."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from bench.overhead.patches import Patch, TextNotFound
from bench.overhead.variants import (
    LIMITS_REPEATED,
    SHIPPED,
    TRACED,
    TRACES_REPEATED,
    UNLIMITED,
    UNTRACED,
    UNTRACED_CODE,
    Variants,
)
from config.settings import Settings
from core.batching import BatchLoader
from handlers.auth import ActiveUserHandler
from handlers.base import Handler
from handlers.limits import RequestLimits
from telemetry.metrics import Metrics


@pytest.fixture
def context() -> Any:
    limits = RequestLimits(Settings().limits, Metrics())
    return SimpleNamespace(request_limits=limits, metrics=Metrics(), start_call=None)


def trace_code() -> list[Any]:
    return [inspect.getattr_static(owner, name) for owner, name, _ in UNTRACED_CODE]


def test_each_variant_differs_in_one_thing_and_is_undone(context: Any) -> None:
    shipped, limits = trace_code(), context.request_limits
    variants = Variants(context)
    variants.switch(UNTRACED)
    assert not set(trace_code()) & set(shipped)
    assert "_call" not in Handler.on_finish.__code__.co_names
    assert "copy_context" not in BatchLoader.get.__code__.co_names
    variants.switch(UNLIMITED)
    assert trace_code() == shipped
    assert (limits.is_on("read"), context.request_limits.is_on("read")) == (True, False)
    variants.switch(TRACED)
    assert (context.request_limits, context.start_call is None) == (limits, False)
    variants.switch(TRACES_REPEATED)
    assert "range" in Handler.on_finish.__code__.co_names
    variants.switch(LIMITS_REPEATED)
    assert "range" in ActiveUserHandler._admit_user_id.__code__.co_names
    variants.switch(SHIPPED)
    assert (trace_code(), context.start_call) == (shipped, None)
    assert "range" not in ActiveUserHandler._admit_user_id.__code__.co_names


def test_a_patch_of_code_that_has_changed_is_an_error() -> None:
    with pytest.raises(TextNotFound, match=r"Handler\.prepare: no such line"):
        Patch(Handler, "prepare", (("no such line", ""),))
