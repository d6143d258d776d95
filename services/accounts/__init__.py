"""Accounts: sign-in, sessions, profiles, pictures, age, follows, copies and deletions of data."""

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
from services.moderation import ModerationServices
from services.parts import Parts


class AccountServices:
    def __init__(
        self,
        parts: Parts,
        channels: UserChannelService,
        moderation: ModerationServices,
        retire_host: RetireHost,
    ) -> None:
        settings, stores, tencent = parts.settings, parts.stores, parts.tencent
        bus, hub, room_changes = parts.bus, parts.hub, parts.room_changes
        user_safety = moderation.user_safety
        self.channels = channels
        self.evictions = EvictionService(stores.evictions, bus, parts.process_id)
        self.sessions = SessionService(stores, bus, self.evictions)
        self.age_verification = AgeVerificationService(
            stores.users, tencent.faceid, settings.age_verification
        )
        self.pictures = PictureService(tencent.cos, stores, settings.uploads, settings.moderation)
        self.profiles = ProfileService(
            stores, room_changes, hub, self.pictures, moderation.proposals
        )
        self.follows = FollowService(stores, bus, hub, user_safety)
        self.sign_in = SignInService(
            stores, tencent.wechat, room_changes, self.sessions, self.profiles, user_safety
        )
        self.matches = MatchService(stores)
        self.notices = NoticeService(stores, tencent.notices, settings, parts.metrics.notices)
        self.data_requests = DataRequestService(
            stores, room_changes, self.sessions, self.matches, retire_host
        )
