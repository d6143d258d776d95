"""Texts for what users are refused, and for events and differences of bills in the console."""

import json
import re
import runpy
from collections.abc import Mapping
from typing import get_args

import pytest

from handlers.pages import openapi_text
from handlers.routes import ROUTES
from ledger.bills import Category, Kind
from loadtest.reconnect import RULE
from rooms.events import EVENT_PAYLOADS
from services.chat.message_checks import REFUSALS
from tests.support.paths import ROOT

UNQUEUED = ("refused", "withdrawn", "expired", "host", "left", "offline", "banned", "moderation")
DOCUMENT = json.loads(openapi_text(ROUTES))
CODES = {*REFUSALS, *runpy.run_path(str(ROOT / "scripts" / "sdk"))["refusals"](DOCUMENT)}
KEYS: Mapping[str, set[str]] = {
    "clients/miniprogram/src/texts.js": CODES,
    "web/demo/translations.js": {
        *(f"end.{name}" for name in RULE["final_codes"].values()),
        *("event.micro_leave.moderation", "event.live_end.moderation", "end.ended.moderation"),
    },
    "examples/miniprogram/i18n.js": {
        *(f"over_{name}" for name in RULE["final_codes"].values()),
        *("feed_micro_leave_moderation", "over_moderation"),
    },
    "web/ops/translations.js": {
        *(f"event.{name}" for name in (*EVENT_PAYLOADS, "unmute", "unmute_all")),
        *(f"left.{reason}" for reason in ("left", "host", "offline", "banned", "moderation")),
        *(f"unqueued.{reason}" for reason in UNQUEUED),
        *(f"ended.{reason}" for reason in ("host", "operator", "offline", "banned", "moderation")),
        *(f"difference.{kind}" for kind in get_args(Kind)),
        *(f"to_do.{kind}" for kind in get_args(Kind) if kind != "missing_here"),
        *(
            f"to_do.missing_here.{category}"
            for category in get_args(Category)
            if category != "bill"
        ),
    },
}
"""By file: the texts for each refusal, of IM's messages too; for each final close code and for what
ends by moderation; for each event with its reasons; and for each difference of a bill with what to
do."""


@pytest.mark.parametrize("file", KEYS)
def test_each_refusal_end_event_and_difference_has_a_text_in_both_languages(file):
    found = re.findall(
        r'^  "?([\w.]+)"?: \["(.*?)", "(.*?)"\],$', (ROOT / file).read_text(), re.MULTILINE
    )
    texts = {key: (chinese, english) for key, chinese, english in found}
    assert not KEYS[file] - texts.keys()
    for key in KEYS[file]:
        chinese, english = texts[key]
        assert re.search("[\u4e00-\u9fff]", chinese), key
        assert english, key
        assert not re.search("[\u4e00-\u9fff]", english), key
