"""Accounts: sign-in, sessions, profiles, pictures, age, follows, copies and deletions of data."""

from config.settings import Settings
from realtime.bus import Bus
from realtime.hub import Hub
from services.accounts.age_verification import AgeVerificationService
from services.accounts.data_requests import DataRequestService, RetireHost
from services.accounts.follows import FollowService
from services.accounts.matches import MatchService
from services.accounts.notices import NoticeService
from services.accounts.pictures import PictureService
from services.accounts.profiles import ProfileService
from services.accounts.sessions import EvictionService, SessionService
from services.accounts.sign_in import SignInService
from services.accounts.user_channels import UserChannelService
from services.jobs.outbox_jobs import OutboxLanes
from services.moderation import ModerationServices
from services.room_changes import RoomChanges
from storage.stores import Stores
from telemetry.metrics import Metrics
from tencent.clients import TencentClients


class AccountServices:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        tencent: TencentClients,
        bus: Bus,
        hub: Hub,
        room_changes: RoomChanges,
        channels: UserChannelService,
        process_id: str,
        lanes: OutboxLanes,
        moderation: ModerationServices,
        retire_host: RetireHost,
        metrics: Metrics,
    ) -> None:
        self.channels = channels
        self.evictions = EvictionService(stores.evictions, bus, process_id)
        self.sessions = SessionService(stores, bus, self.evictions, lanes.im_safety)
        self.age_verification = AgeVerificationService(
            stores.users, tencent.faceid, settings.age_verification
        )
        self.pictures = PictureService(tencent.cos, stores, settings.uploads, settings.moderation)
        self.profiles = ProfileService(
            stores, room_changes, hub, self.pictures, moderation.proposals
        )
        self.follows = FollowService(stores, bus, hub, moderation.user_safety)
        self.sign_in = SignInService(
            stores,
            tencent.wechat,
            room_changes,
            self.sessions,
            self.profiles,
            moderation.user_safety,
        )
        self.matches = MatchService(stores)
        self.notices = NoticeService(stores, tencent.notices, settings, metrics.notices)
        self.data_requests = DataRequestService(
            stores, room_changes, self.sessions, self.matches, retire_host
        )
