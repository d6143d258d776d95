"""Errors raised by use cases, with their codes.

PermissionDenied
└── AccountBanned        banned
QLiveError
├── NotAuthenticated     token: missing, unknown or revoked
└── SessionKeyMissing    log_in_again: no usable WeChat session key of this user is stored
"""

from core.errors import PermissionDenied, QLiveError


class AccountBanned(PermissionDenied):
    code, detail = "banned", "This account has been banned."


class SessionKeyMissing(QLiveError):
    code, detail = "log_in_again", "Call wx.login and log in again, then repeat the request."


class NotAuthenticated(QLiveError):
    code, detail = "token", "Please log in."
