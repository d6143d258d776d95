"""Chat: the groups of rooms at Tencent IM, the relay of events, and checks of messages."""

from config.settings import Settings
from services.chat.groups import GroupService
from services.chat.im_relay import ImRelay
from services.chat.message_checks import MESSAGE_RATE, MessageCheckService
from services.moderation import ModerationServices
from services.room_changes import RoomChanges
from storage.stores import Stores
from tencent.im import ImClient


class ChatServices:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        im: ImClient,
        room_changes: RoomChanges,
        relay: ImRelay | None,
        moderation: ModerationServices,
    ) -> None:
        self.groups = GroupService(stores, room_changes, im)
        self.relay = relay
        find_word = moderation.proposals.forbidden_words.found_in
        self.message_checks = MessageCheckService(
            stores, settings.im.admin, find_word, MESSAGE_RATE.faster(settings.limits.factor)
        )
