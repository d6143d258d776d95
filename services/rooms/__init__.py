"""Rooms: access, entering, presence, seats, deputies, blocks, removals, Tencent's callbacks."""

from config.settings import Settings
from realtime.bus import Bus
from services.accounts import AccountServices
from services.chat import ChatServices
from services.jobs.outbox_jobs import OutboxLanes
from services.moderation import ModerationServices
from services.room_changes import RoomChanges
from services.rooms.callbacks import CallbackService
from services.rooms.deputies import DeputyService
from services.rooms.live_rooms import LiveRoomService, RoomList
from services.rooms.mic import MicService
from services.rooms.presence import Presence
from services.rooms.removals import RemovalService
from services.rooms.room_access import RoomAccess
from services.rooms.streams import StreamModerationService
from services.rooms.tickets import TicketService
from storage.stores import Stores
from tencent.clients import TencentClients


class RoomServices:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        tencent: TencentClients,
        bus: Bus,
        room_changes: RoomChanges,
        access: RoomAccess,
        presence: Presence,
        lanes: OutboxLanes,
        moderation: ModerationServices,
        chat: ChatServices,
        accounts: AccountServices,
    ) -> None:
        stream_urls, self.access = tencent.stream_urls, access
        self.list = RoomList(stores)
        self.presence = presence
        self.lives = LiveRoomService(
            stores,
            bus,
            room_changes,
            presence,
            chat.groups,
            stream_urls,
            accounts.pictures,
            moderation.proposals,
            settings.rooms.private_members,
        )
        self.tickets = TicketService(
            stores,
            room_changes,
            self.lives,
            moderation.user_safety,
            tencent.activity_cards,
            tencent.cos,
            settings.uploads,
            settings.links.page,
        )
        self.mic = MicService(
            stores, room_changes, stream_urls, moderation.user_safety, settings.micro
        )
        self.deputies = DeputyService(stores, room_changes, moderation.user_safety)
        self.streams = StreamModerationService(
            stores, room_changes, lanes.live_streaming_safety, settings.moderation
        )
        self.removals = RemovalService(
            stores,
            room_changes,
            accounts.evictions,
            accounts.sessions,
            chat.groups,
            accounts.matches,
            lanes.im_safety,
            has_im_relay=chat.relay is not None,
        )
        self.callbacks = CallbackService(stores, presence, room_changes, self.streams)
