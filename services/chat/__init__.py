"""Chat: the groups of rooms at Tencent IM, the relay of events, and checks of messages."""

from services.chat.groups import GroupService
from services.chat.im_relay import ImRelay
from services.chat.message_checks import MESSAGE_RATE, MessageCheckService
from services.moderation import ModerationServices
from services.parts import Parts


class ChatServices:
    def __init__(self, parts: Parts, relay: ImRelay | None, moderation: ModerationServices) -> None:
        stores, settings = parts.stores, parts.settings
        self.groups = GroupService(stores, parts.room_changes, parts.tencent.im)
        self.relay = relay
        find_word = moderation.proposals.forbidden_words.found_in
        self.message_checks = MessageCheckService(
            stores, settings.im.admin, find_word, MESSAGE_RATE.faster(settings.limits.factor)
        )
