"""UserSigs: the signatures with which a user, or our server, speaks to Tencent IM."""

from time import time

from TLSSigAPIv2 import TLSSigAPIv2

ADMIN_SECONDS = 86400
# Renewed with half its life left, so that no clock difference or queue makes it expire in use.
ADMIN_RENEWAL = ADMIN_SECONDS // 2


class UserSigs:
    """Signs for one Tencent IM application.

    Whoever holds a UserSig speaks as that user until it expires; it cannot be revoked alone.
    """

    def __init__(self, sdk_app_id: int, key: str) -> None:
        """`key` is the application's secret key, used as text (it is not decoded from hex)."""
        self.sdk_app_id = sdk_app_id
        self._signer = TLSSigAPIv2(sdk_app_id, key)
        self._admins: dict[str, tuple[str, float]] = {}

    def sign(self, user_id: str, seconds: int) -> str:
        """A UserSig for `user_id` (at most 32 bytes), valid from now for `seconds`."""
        return str(self._signer.gen_sig(user_id, seconds))

    def for_admin(self, admin_id: str, *, renew: bool = False) -> str:
        """The administrator's signature, kept for half a day; `renew` makes a new one now."""
        signature, renewal = self._admins.get(admin_id, ("", 0.0))
        if renew or time() >= renewal:
            signature = self.sign(admin_id, ADMIN_SECONDS)
            self._admins[admin_id] = (signature, time() + ADMIN_RENEWAL)
        return signature
