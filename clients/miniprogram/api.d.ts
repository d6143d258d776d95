// Generated from the server's routes and models by `make sdk`; do not edit.

export interface AnchorInfo {
  nickname: string;
  face_url: string;
}

/** A user who applied or was invited; `applied_at` is null if only invited. */
export interface Applicant {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  applied_at: number | null;
  invited: boolean;
  expires_at: number;
}

/** `price` in yuan with two decimals. */
export interface Block {
  id: number;
  gold: number;
  price: string;
}

export type BlockList = Array<Block>;

export type Configs = Record<string, any>;

export type EmptySeat = Record<string, never>;

/** Public profile of a user, visible to everyone in a room. */
export interface Face {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
}

export interface Gift {
  id: number;
  name: string;
  image: string;
  gold: number;
  effect: string;
}

export interface GiftEvent {
  from: Face;
  to: Face;
  gift: GiftShown;
  num: number;
  gold: number;
  request_id: string;
}

export interface GiftGiven {
  status: "success";
  gold: number;
  income: number;
}

export interface GiftPage {
  count: number;
  next: string | null;
  previous: string | null;
  results: Array<Gift>;
}

export interface GiftShown {
  id: number;
  name: string;
  image: string;
  effect: string;
}

/** The room has another chat group, since Tencent IM no longer has the one before: join it. */
export interface GroupChange {
  group_id: string;
}

export interface LikeState {
  like_state: 0 | 1;
}

/** The live ended, and with it all seats and applications. */
export interface LiveEndEvent {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  reason: "host" | "operator" | "offline" | "banned";
}

export type LiveList = Array<LiveRoom>;

/** The host lost or regained the connection; the live pauses or resumes. */
export interface LivePause {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
}

export interface LiveRoom {
  id: number;
  group_id: string;
  room_name: string;
  room_image: string;
  player: Player;
  audience_count: number;
}

/** `status` 0: signed in, 1: not registered yet (all other fields are empty). */
export interface Login {
  status: 0 | 1;
  token: string;
  user_id: string;
  user_sign: string;
  sdk_app_id: string;
  login_type: 0 | 1;
}

/** `login_type` 1: the user is still in a room. */
export interface LoginIntoRoom {
  status: 0 | 1;
  token: string;
  user_id: string;
  user_sign: string;
  sdk_app_id: string;
  login_type: 0 | 1;
  user_type: number;
  live_room_name: string;
  live_id: number;
  group_id: string;
}

export interface MatchmakerEnter {
  status: "ok";
  user_id: string;
  live_id: number;
  nickname: string;
  face_url: string;
  push_url: string;
  play_url: string;
  group_id: string;
}

/** A user on mic lost or regained the connection. */
export interface MicPresence {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  role: "male" | "female" | "host";
}

/** A user took the seat of their gender. */
export interface MicroAccept {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  play_url: string;
  area: string;
  age: number;
}

/** A user applied for the seat of their gender. */
export interface MicroApply {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  applied_at: number;
  expires_at: number;
}

/** The host invited a user to the seat of their gender. */
export interface MicroInvite {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  expires_at: number;
}

/** A guest left the seat; `reason` host: removed by the host. */
export interface MicroLeave {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  reason: "left" | "host" | "offline" | "banned";
}

/** An application or invitation ended without a seat. refused: the user declined an invitation; withdrawn: the user cancelled an application. */
export interface MicroRefuse {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  reason: "refused" | "withdrawn" | "expired" | "host" | "left" | "offline" | "banned";
}

export interface NewUser {
  token: string;
  user_id: string;
  user_sign: string;
  sdk_app_id: string;
}

export interface Ok {
  detail: string;
}

export interface OnMic {
  play_url: string;
  nickname: string;
  area: string;
  age: number;
  user_id: string;
  face_url: string;
}

export interface Order {
  success: "success";
  timestamp: string;
  sign: string;
  content: string;
}

export interface PlayUrl {
  anchor_info: AnchorInfo;
  owner: OnMic;
  male: OnMic | EmptySeat;
  female: OnMic | EmptySeat;
  user_type: number;
  push_url: string;
  num_list: Array<number>;
}

export interface Player {
  boy: string;
  girl: string;
}

/** A visible user changed nickname or face; the host's renames the room. */
export interface ProfileChange {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
}

/** Users who agreed (`show_in_ranking`), highest first, at most 50 in each list. Empty where rankings are not public, as by default in production. */
export interface Rank {
  senders: Array<Sender>;
  takings: Array<Receiver>;
}

/** `income` is always 0, as `gold` of a sender. */
export interface Receiver {
  user_id: string;
  nickname: string;
  face_url: string;
  income: number;
}

/** The room has another name or picture. */
export interface RoomInfo {
  room_name: string;
  room_image: string;
}

export interface SeatShown {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: number;
  area: string;
  age: number;
  play_url: string;
  away: boolean;
}

export interface Seated {
  play_url: string;
  nickname: string;
  area: string;
  age: number;
  user_id: string;
  face_url: string;
  push_url: string;
  gender: number;
}

/** `gold` is always 0: what a user spends is not shown. */
export interface Sender {
  user_id: string;
  nickname: string;
  face_url: string;
  gold: number;
}

/** State of a room when the socket opens; the events that follow change it. */
export interface Snapshot {
  status: "live" | "paused" | "ended";
  room_name: string;
  room_image: string;
  group_id: string;
  owner: SeatShown;
  male: SeatShown | null;
  female: SeatShown | null;
  applicants: Array<Applicant>;
  audience_count: number;
  num_list: Array<number>;
}

export interface UploadTicket {
  url: string;
  key: string;
  fields: Record<string, string>;
  seconds: number;
}

/** `state` 0: viewer, 1: applicant. */
export interface UserInRoom {
  user_id: string;
  face_url: string;
  nickname: string;
  state: 0 | 1;
}

/** For another user, `user_sig` is "" and private fields are null. `show_in_ranking`: whether the user agreed to be shown in rankings. */
export interface UserInfo {
  user_id: string;
  user_sig: string;
  user_sig_expired: string | null;
  nickname: string;
  gender: number;
  age: number;
  face_url: string;
  area: string;
  gold: number | null;
  height: number;
  is_matchmaker: boolean;
  income: number | null;
  last_login_time: string | null;
  create_time: string;
  show_in_ranking: boolean | null;
}

export interface UserInfoWithRate {
  user_id: string;
  user_sig: string;
  user_sig_expired: string | null;
  nickname: string;
  gender: number;
  age: number;
  face_url: string;
  area: string;
  gold: number | null;
  height: number;
  is_matchmaker: boolean;
  income: number | null;
  last_login_time: string | null;
  create_time: string;
  show_in_ranking: boolean | null;
  rate: string;
}

export interface UserState {
  live_room_name: string;
  live_id: number | "";
  group_id: string;
  user_type: number;
}

export type UsersInRoom = Array<UserInRoom>;

/** `income` is what is held, at most what was requested. */
export interface Withdraw {
  withdrawal_id: string;
  state: WithdrawalState;
  income: number;
  fen: number;
  paid_fen: number;
  requested_at: string;
  /** Why it was declined, in the operator's words; or a code: `cancelled` by the user, or `refund_case`, for the refund of an order that paid for gifts to the user. */
  reason: string;
  /** Why WeChat Pay did not pay, in its words. */
  fail_reason: string;
  mch_id: string;
  app_id: string;
  package_info: string;
  status: "success";
  detail: string;
}

/** A withdrawal of `income` for `fen`; times are local time in China. While the user has to confirm it, `package_info` is the `package` of wx.requestMerchantTransfer. */
export interface Withdrawal {
  withdrawal_id: string;
  state: WithdrawalState;
  income: number;
  fen: number;
  paid_fen: number;
  requested_at: string;
  /** Why it was declined, in the operator's words; or a code: `cancelled` by the user, or `refund_case`, for the refund of an order that paid for gifts to the user. */
  reason: string;
  /** Why WeChat Pay did not pay, in its words. */
  fail_reason: string;
  mch_id: string;
  app_id: string;
  package_info: string;
}

/** States of a withdrawal, in their order: a stored word, and one on the wire. */
export type WithdrawalState = "requested" | "approved" | "submitted" | "awaiting_user" | "paid" | "returned";

/** `matured`: income that can be withdrawn now. */
export interface Withdrawals {
  matured: number;
  items: Array<Withdrawal>;
  page: number;
  has_more: boolean;
}

/** `data` of the room's events, by type. */
export interface EventData {
  micro_apply: MicroApply;
  micro_invite: MicroInvite;
  micro_accept: MicroAccept;
  micro_refuse: MicroRefuse;
  micro_leave: MicroLeave;
  member_away: MicPresence;
  member_back: MicPresence;
  live_pause: LivePause;
  live_resume: LivePause;
  profile: ProfileChange;
  group: GroupChange;
  room_info: RoomInfo;
  gift: GiftEvent;
  live_end: LiveEndEvent;
}

/** Every call of the API. */
export interface Calls {
  /** Register a user, with the code of a login that has found none, or with another one. */
  createUser(params: {
    appId: string;
    code: string;
    encryptedData?: string;
    iv?: string;
  }): Promise<NewUser>;
  /** Exchange a WeChat code for a token. */
  login(params: {
    appId: string;
    code: string;
  }): Promise<Login | LoginIntoRoom>;
  /** Update the profile; the room is notified when a visible user's name or face changes. */
  updateUserinfo(params?: {
    /** Surrounding spaces are removed; control characters are rejected, and other invisible ones outside of emoji. */
    nickname?: string;
    /** 1: man, 2: woman */
    gender?: 1 | 2;
    age?: number;
    area?: string;
    /** An address, or the key of an upload. */
    face_url?: string;
    height?: number;
    show_in_ranking?: boolean;
  }): Promise<UserInfo>;
  /** Permit the upload of a picture. */
  uploadTicket(params: {
    kind: "face" | "cover";
    type: "image/jpeg" | "image/png" | "image/webp";
    size: number;
  }): Promise<UploadTicket>;
  /** Own profile including credentials, or another user's public profile. */
  getUserinfo(params?: {
    user_id?: string;
  }): Promise<UserInfoWithRate>;
  /** The user's current room and role in it. */
  getUserState(): Promise<UserState>;
  /** The men or the women in the room who are not on mic: applicants first, then viewers. */
  getUsersInfo(params: {
    page?: number;
    live_id: number;
    /** 1: man, 2: woman */
    gender: 1 | 2;
  }): Promise<UsersInRoom>;
  /** Leave the room and revoke the token; a host's live ends. Safe to repeat. */
  logout(): Promise<Ok>;
  /** The live rooms, largest audience first. */
  getLivelist(params?: {
    page?: number;
  }): Promise<LiveList>;
  /** Enter a room; returns the users on mic and the URLs to play and push video. */
  getPlayurl(params: {
    live_id: number;
  }): Promise<PlayUrl>;
  /** All enabled configs except the exchange and withdraw rates. */
  getConfigs(): Promise<Configs>;
  /** Open the host's room, or return to the live in progress. */
  matchmakerEnter(): Promise<MatchmakerEnter>;
  /** Change the name and the picture of the room, as its host. */
  updateRoom(params: {
    live_id: number;
    /** Surrounding spaces are removed; control characters are rejected, and other invisible ones outside of emoji. */
    room_name?: string;
    /** An address, or the key of an upload. */
    room_image?: string;
  }): Promise<Ok>;
  /** Apply for the seat of the user's gender. */
  applyMicro(params: {
    live_id: number;
  }): Promise<Ok>;
  /** Invite a user, as host, to the seat of their gender. */
  inviteMicro(params: {
    live_id: number;
    user_id: string;
  }): Promise<Ok>;
  /** Take the seat of the user's gender. */
  acceptMicro(params: {
    live_id: number;
  }): Promise<Seated>;
  /** Withdraw an application or refuse an invitation. */
  refuseMicro(params: {
    live_id: number;
  }): Promise<Ok>;
  /** Leave a seat; the host may take any user off the mic or out of the queue. */
  leaveMicro(params: {
    live_id: number;
    user_id?: string;
    /** 1: man, 2: woman */
    gender?: 1 | 2;
  }): Promise<Ok>;
  /** Leave the room, giving up seat and application. */
  leaveRoom(params: {
    live_id: number;
  }): Promise<Ok>;
  /** Remove a user from the room, as its host, and ban them from it for `minutes`. */
  putOut(params: {
    live_id: number;
    user_id: string;
    minutes?: number;
  }): Promise<Ok>;
  /** End the live, as its host; all members are removed. */
  liveEnd(params: {
    live_id: number;
  }): Promise<Ok>;
  /** Gift ranking of the room's current live, or of the last one until the next starts. */
  rank(params: {
    live_id: number;
  }): Promise<Rank>;
  /** Ranking of all gifts of one day in China (UTC+8), today by default. */
  dayRank(params?: {
    day?: string;
  }): Promise<Rank>;
  /** One page of gifts, with the URLs of the next and previous page. */
  getGifts(params?: {
    page?: number;
  }): Promise<GiftPage>;
  /** One page of gifts, with the URLs of the next and previous page. */
  giftListAlias(params?: {
    page?: number;
  }): Promise<GiftPage>;
  /** Give a user a gift; the room that both are in receives an event. */
  pushGift(params: {
    user_id: string;
    gift_id: number;
    num?: number;
    request_id?: string;
  }): Promise<GiftGiven>;
  /** List the blocks of gold for sale. */
  getBlocks(): Promise<BlockList>;
  /** Order a block of gold; the gold is credited when the payment is confirmed. */
  pay(params: {
    block_id: number;
    platform?: string;
  }): Promise<Order>;
  /** Withdraw income, once per `request_id`; repeated, the same withdrawal as it is then. */
  withdraw(params: {
    income: number;
    request_id: string;
    real_name?: string;
  }): Promise<Withdraw>;
  /** Cancel a withdrawal that is not paid; the income is back once its state is `returned`. */
  cancelWithdrawal(params: {
    withdrawal_id: string;
  }): Promise<Withdraw>;
  /** The user's withdrawals, newest first, and the income that can be withdrawn now. */
  withdrawals(params?: {
    page?: number;
  }): Promise<Withdrawals>;
  /** Read whether the caller likes a user. */
  getLike(params: {
    user_id: string;
  }): Promise<LikeState>;
  /** Like a user, or remove the like. */
  like(params: {
    user_id: string;
    like_state: 0 | 1;
  }): Promise<Ok>;
}
