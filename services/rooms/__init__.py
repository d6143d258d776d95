"""Rooms: access, entering, presence, seats, deputies, blocks, removals, Tencent's callbacks."""

from services.accounts import AccountServices
from services.chat import ChatServices
from services.moderation import ModerationServices
from services.parts import Parts
from services.rooms.callbacks import CallbackService
from services.rooms.deputies import DeputyService
from services.rooms.live_rooms import LiveRoomService, RoomList
from services.rooms.mic import MicService
from services.rooms.presence import Presence
from services.rooms.removals import RemovalService
from services.rooms.renewals import RenewalService
from services.rooms.room_access import JoinService, RoomAccess
from services.rooms.streams import StreamModerationService
from services.rooms.tickets import TicketService


class RoomServices:
    def __init__(
        self,
        parts: Parts,
        access: RoomAccess,
        presence: Presence,
        moderation: ModerationServices,
        chat: ChatServices,
        accounts: AccountServices,
    ) -> None:
        settings, stores, tencent = parts.settings, parts.stores, parts.tencent
        room_changes, user_safety = parts.room_changes, moderation.user_safety
        self.access = access
        self.joins = JoinService(stores, parts.hub, access, presence, accounts.channels)
        self.list = RoomList(stores)
        self.presence = presence
        self.lives = LiveRoomService(
            stores,
            parts.bus,
            room_changes,
            presence,
            groups=chat.groups,
            stream_urls=tencent.stream_urls,
            pictures=accounts.pictures,
            proposals=moderation.proposals,
            private_members=settings.rooms.private_members,
        )
        self.renewals = RenewalService(room_changes, chat.groups, tencent.stream_urls)
        self.tickets = TicketService(
            stores,
            room_changes,
            self.lives,
            user_safety,
            wechat=tencent.activity_cards,
            cos=tencent.cos,
            uploads=settings.uploads,
            page=settings.links.page,
        )
        self.mic = MicService(
            stores, room_changes, tencent.stream_urls, user_safety, settings.micro
        )
        self.deputies = DeputyService(stores, room_changes, user_safety)
        self.streams = StreamModerationService(stores, room_changes, settings.moderation)
        self.removals = RemovalService(
            stores,
            room_changes,
            accounts.evictions,
            accounts.sessions,
            chat.groups,
            accounts.matches,
            has_im_relay=chat.relay is not None,
        )
        self.callbacks = CallbackService(stores, presence, room_changes, self.streams)
