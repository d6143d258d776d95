"""Configs: what the mini-program shows and shares."""

from handlers import answers
from handlers.admission import SignedIn
from handlers.base import call


class GetConfigs(SignedIn):
    """Everything enabled."""

    only_reads = True

    @call
    async def get(self) -> answers.Configs:
        return answers.Configs(await self.parts.configs.shown())
