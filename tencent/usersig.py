"""UserSig signatures that authenticate users and this server to Tencent IM."""

from time import time

from TLSSigAPIv2 import TLSSigAPIv2

ADMIN_TTL_SECONDS = 86400
# Renewed at half its lifetime, so that clock skew or queueing cannot make it expire in use.
ADMIN_RENEW_AFTER_SECONDS = ADMIN_TTL_SECONDS // 2


class UserSigSigner:
    """Signs UserSigs for one Tencent IM application.

    Any holder of a UserSig acts as its user until it expires, or until `ImClient.kick` ends all
    that were signed before for this user.
    """

    def __init__(self, sdk_app_id: int, key: str) -> None:
        """`key` is the application's secret key, used as text (it is not decoded from hex)."""
        self.sdk_app_id = sdk_app_id
        self._signer = TLSSigAPIv2(sdk_app_id, key)
        self._admin_signatures: dict[str, tuple[str, float]] = {}

    def sign(self, user_id: str, seconds: int) -> str:
        """A UserSig for `user_id` (at most 32 bytes), valid from now for `seconds`."""
        return str(self._signer.gen_sig(user_id, seconds))

    def for_admin(self, admin_id: str, *, renew: bool = False) -> str:
        """The administrator's UserSig, cached for half a day; `renew` bypasses the cache."""
        signature, renew_at = self._admin_signatures.get(admin_id, ("", 0.0))
        if renew or time() >= renew_at:
            signature = self.sign(admin_id, ADMIN_TTL_SECONDS)
            self._admin_signatures[admin_id] = (signature, time() + ADMIN_RENEW_AFTER_SECONDS)
        return signature
