"""Errors raised by the rules of a room.

PermissionDenied
├── RemovedFromRoom    put_out: removed by the host or an operator, and the ban is not over
├── BannedByOperator   operator_ban: a ban that the host cannot lift
├── NotHost            not_host: neither the host nor a deputy who may do this
├── NotMatchmaker      not_matchmaker
├── StreamForbidden    stream_forbidden: what the user's last stream has shown is not allowed
├── InvitationRequired invitation_required: entering a private live without a ticket
├── InvitationInvalid  invitation_invalid: a ticket that does not open this live to this user
├── FollowersOnly      followers_only: entering a followers' live without following or a ticket
└── NotAMember         not_in_room: reading a room without being a member
NotFound
└── RoomNotFound       no_such_room
StateConflict
├── NotLive            not_live
├── NotInRoom          not_in_room: acting in a room without being a member
├── NoGender           no_gender
├── AlreadyOnMic       on_mic
├── GenderInUse        gender_in_use
├── SeatTaken          seat_taken
├── QueueFull          queue_full: too many applications or invitations
├── TooManyDeputies    too_many_deputies
├── NotAdmitted        not_admitted
├── RoomFull           room_full: a private live has all the members that it may have
├── TooManyInvitations too_many_invitations
├── TooManyMutes       too_many_mutes
├── HostIsLive         host_is_live
└── HostMustEnd        host_must_end
"""

from core.errors import NotFound, PermissionDenied, StateConflict


class RemovedFromRoom(PermissionDenied):
    code, detail = "put_out", "You have been removed from this room."


class BannedByOperator(PermissionDenied):
    code, detail = "operator_ban", "Only an operator can let this user in again."


class NotHost(PermissionDenied):
    code, detail = "not_host", "Only the host of the room can do this."


class NotMatchmaker(PermissionDenied):
    code, detail = "not_matchmaker", "Only matchmakers can open a room."


class StreamForbidden(PermissionDenied):
    code, detail = "stream_forbidden", "Your video was stopped for what it showed; try again later."


class InvitationRequired(PermissionDenied):
    code, detail = "invitation_required", "This live is private; you need an invitation."


class InvitationInvalid(PermissionDenied):
    code, detail = "invitation_invalid", "This invitation is not valid any more, or not for you."


class FollowersOnly(PermissionDenied):
    code, detail = "followers_only", "Only followers of the host can enter this live."


class NotAMember(PermissionDenied):
    code, detail = "not_in_room", "You are not in this room."


class RoomNotFound(NotFound):
    code, detail = "no_such_room", "There is no such room."


class NotLive(StateConflict):
    code, detail = "not_live", "This room is not live."


class NotInRoom(StateConflict):
    code, detail = "not_in_room", "Only members of the room can do this."


class NoGender(StateConflict):
    code, detail = "no_gender", "A gender must be set before going on mic."


class AlreadyOnMic(StateConflict):
    code, detail = "on_mic", "The user is already on mic."


class GenderInUse(StateConflict):
    code, detail = "gender_in_use", "The gender cannot be changed while applying or on mic."


class SeatTaken(StateConflict):
    code, detail = "seat_taken", "This seat is taken."


class QueueFull(StateConflict):
    code, detail = "queue_full", "Too many users are waiting for this seat; try again later."


class TooManyDeputies(StateConflict):
    code, detail = "too_many_deputies", "A room has three deputies at most."


class NotAdmitted(StateConflict):
    code, detail = "not_admitted", "Apply for the mic or wait for an invitation first."


class RoomFull(StateConflict):
    code, detail = "room_full", "This live is full."


class TooManyInvitations(StateConflict):
    code, detail = "too_many_invitations", "Too many invitations are open; withdraw some of them."


class TooManyMutes(StateConflict):
    code, detail = "too_many_mutes", "100 users are muted; lift some of the mutes."


class HostIsLive(StateConflict):
    code, detail = "host_is_live", "End your own live first."


class HostMustEnd(StateConflict):
    code, detail = "host_must_end", "The host cannot leave; end the live instead."
