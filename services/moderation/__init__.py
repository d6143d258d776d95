"""Moderation: checks of what users show, blocks and reports of users, and WeChat's rank of risk."""

from config.settings import Settings
from services.moderation.proposals import ProposalService
from services.moderation.user_safety import UserSafetyService
from storage.stores import Stores
from tencent.wechat import ContentSecurityClient


class ModerationServices:
    """The queue is decided by `DecisionService`, which needs what shows a decision."""

    def __init__(self, settings: Settings, stores: Stores, client: ContentSecurityClient) -> None:
        self.proposals = ProposalService(stores, client, settings.moderation)
        self.user_safety = UserSafetyService(stores, client, settings.moderation)
