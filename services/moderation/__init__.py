"""Moderation: checks of what users show, blocks and reports of users, and WeChat's rank of risk."""

from services.moderation.proposals import ProposalService
from services.moderation.user_safety import UserSafetyService
from services.parts import Parts


class ModerationServices:
    """The queue is decided by `DecisionService`, which needs what shows a decision."""

    def __init__(self, parts: Parts) -> None:
        client, settings = parts.tencent.content_security, parts.settings.moderation
        self.proposals = ProposalService(parts.stores, client, settings)
        self.user_safety = UserSafetyService(parts.stores, client, settings)
