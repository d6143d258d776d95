// Type declarations of the QLive client SDK and of the server's responses.

export type Gender = 0 | 1 | 2;
export type UserType = 0 | 1 | 2 | 3 | 4 | 5;
export type Id = number | string;

// ---- platform

export interface Reply {
  status: number;
  json: unknown;
  headers?: Record<string, string>;
}

export interface Socket {
  onOpen(listener: () => void): void;
  onMessage(listener: (text: string) => void): void;
  onClose(listener: (event: { code: number; reason: string }) => void): void;
  send(text: string): void;
  close(): void;
}

export interface Storage {
  get(key: string): any;
  set(key: string, value: unknown): void;
  remove(key: string): void;
}

export interface Platform {
  /** Whether WebSockets support headers; if not, the first frame carries the token. */
  socketHeaders: boolean;
  request(options: {
    url: string;
    method: "GET" | "POST";
    data?: object;
    headers: Record<string, string>;
  }): Promise<Reply>;
  connectSocket(url: string, options: { headers: Record<string, string> }): Socket;
  storage: Storage;
  /** Calls `wake` when the device wakes up or is online again; returns a remove function. */
  onWake?(wake: () => void): () => void;
  /** The user's system as wx.getDeviceInfo() names it; kept with orders. */
  system?(): string;
  /** wx.requestMerchantTransfer; resolves when WeChat has shown its page. */
  confirmTransfer?(transfer: { mchId: string; appId: string; package: string }): Promise<unknown>;
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
  random(): number;
}

export function wxPlatform(wx?: object): Platform;
export function browserPlatform(): Platform;
/** Storage on top of a text store; values that it refuses are kept in memory until the app ends. */
export function storageOver(
  get: (key: string) => string | null,
  set: (key: string, text: string) => void,
  remove: (key: string) => void,
): Storage;

// ---- errors

export class Refused extends Error {
  name: "Refused";
  status: number;
  code: string;
  fields: Record<string, string>;
  /**
   * Seconds; 0 if the response has no Retry-After. Calls that are safe to repeat were already sent
   * up to twice more if it is at most five.
   */
  retryAfter: number;
}
export class Unreachable extends Error {
  name: "Unreachable";
  status: number;
}
export class Unanswered extends Error {
  name: "Unanswered";
  gift: PendingGift;
}
export class Gap extends Error {
  name: "Gap";
}

// ---- room

export interface Face {
  user_id: string;
  nickname: string;
  face_url: string;
  gender: Gender;
}
export interface Seat extends Face {
  area: string;
  age: number;
  play_url: string;
  away: boolean;
}
export interface Applicant extends Face {
  applied_at: number | null;
  invited: boolean;
  expires_at: number;
}
export interface RoomShown {
  status: "live" | "paused" | "ended";
  room_name: string;
  room_image: string;
  group_id: string;
  owner: Seat;
  male: Seat | null;
  female: Seat | null;
  applicants: Applicant[];
  audience_count: number;
  num_list: [number, number, number, number];
}
export interface RoomState {
  live_id: number;
  epoch: string;
  seq: number;
  room: RoomShown;
}
export interface Frame {
  type: string;
  live_id?: number;
  epoch?: string;
  seq?: number;
  ts?: number;
  data?: any;
  [field: string]: any;
}

/** State of a snapshot frame. */
export function begin(snapshot: Frame): RoomState;
/** State after one more frame; throws Gap if a frame is missing before it. */
export function fold(state: RoomState, frame: Frame): RoomState;
/** The user's open mic invitation, or null. */
export function invitation(state: Pick<RoomState, "room"> | null, userId: string): Applicant | null;

export type Connection =
  | { phase: "connecting"; attempt: number }
  /** After a connect, or with `too_old` between events if the server missed too many of them. */
  | { phase: "live"; reset: "epoch" | "too_old" | "ahead" | null }
  | { phase: "resumed"; replayed: number }
  | { phase: "reconnecting"; attempt: number; delay: number; code: number; reason: string }
  | { phase: "closed"; code: number; reason: string };

export interface RoomEvents {
  state: (room: RoomShown, frame: Frame) => void;
  frame: (frame: Frame) => void;
  connection: (connection: Connection) => void;
  audience: (counts: { audience_count: number; num_list: number[] }) => void;
  /** About the current user: */
  invited: (invitation: Applicant) => void;
  seated: (seat: Face & { play_url: string; area: string; age: number }) => void;
  refused: (event: Face & { reason: string }) => void;
  offMic: (event: Face & { reason: string }) => void;
}

export class RoomSocket {
  private constructor();
  readonly live_id: number;
  readonly state: RoomState | null;
  on<Name extends keyof RoomEvents>(name: Name, listener: RoomEvents[Name]): () => void;
  open(): void;
  close(): void;
  wake(): void;
}

// ---- gifts

export interface PendingGift {
  request_id: string;
  owner: string;
  at: number;
  user_id: string;
  gift_id: Id;
  num: number;
}
export interface GiftGiven {
  status: "success";
  gold: number;
  income: number;
}
export interface Gifts {
  push(params: { user_id: string; gift_id: Id; num?: number }): Promise<GiftGiven>;
  pending(): PendingGift[];
  /** Retries immediately; call it after a login and whenever the network is back. */
  resume(): Promise<Array<{ gift: PendingGift; answer?: GiftGiven; error?: Error }>>;
  forget(request_id: string): void;
}

// ---- API

export interface Ok {
  detail: string;
}
export interface Login {
  status: 0 | 1;
  token: string;
  user_id: string;
  user_sign: string;
  sdk_app_id: string;
  login_type: 0 | 1;
  user_type?: UserType;
  live_room_name?: string;
  live_id?: number;
  group_id?: string;
}
export interface NewUser {
  token: string;
  user_id: string;
  user_sign: string;
  sdk_app_id: string;
}
export interface UserInfo {
  user_id: string;
  user_sig: string;
  user_sig_expired: string | null;
  nickname: string;
  gender: Gender;
  age: number;
  face_url: string;
  area: string;
  gold: number | null;
  height: number;
  is_matchmaker: boolean;
  income: number | null;
  last_login_time: string | null;
  create_time: string;
  /** Whether the user agreed to be shown in rankings; null for others. */
  show_in_ranking: boolean | null;
}
export interface UserState {
  live_room_name: string;
  live_id: number | "";
  group_id: string;
  user_type: UserType;
}
export interface OnMic {
  play_url: string;
  nickname: string;
  area: string;
  age: number;
  user_id: string;
  face_url: string;
}
export interface PlayUrl {
  anchor_info: { nickname: string; face_url: string };
  owner: OnMic;
  male: OnMic | Record<string, never>;
  female: OnMic | Record<string, never>;
  user_type: UserType;
  push_url: string;
  num_list: number[];
}
export interface LiveRoom {
  id: number;
  group_id: string;
  room_name: string;
  room_image: string;
  player: { boy: string; girl: string };
  audience_count: number;
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
export interface Gift {
  id: number;
  name: string;
  image: string;
  gold: number;
  effect: string;
}
export interface GiftPage {
  count: number;
  next: string | null;
  previous: string | null;
  results: Gift[];
}
export interface Rank {
  /** Users who agreed, highest first; sums are private: `gold` and `income` are always 0. */
  senders: Array<{ user_id: string; nickname: string; face_url: string; gold: number }>;
  takings: Array<{ user_id: string; nickname: string; face_url: string; income: number }>;
}
export interface Order {
  success: "success";
  timestamp: string;
  sign: string;
  content: string;
}
export type WithdrawalState =
  | "requested"
  | "approved"
  | "submitted"
  | "awaiting_user"
  | "paid"
  | "returned";
export interface Withdrawal {
  withdrawal_id: string;
  state: WithdrawalState;
  income: number;
  fen: number;
  paid_fen: number;
  requested_at: string;
  /** Why it was declined or cancelled. */
  reason: string;
  /** Why WeChat Pay did not pay, in its words. */
  fail_reason: string;
  mch_id: string;
  app_id: string;
  /** For `confirmWithdrawal`; "" unless the user has to confirm. */
  package_info: string;
}
export interface Withdrawals {
  /** Income that can be withdrawn now. */
  matured: number;
  items: Withdrawal[];
  page: number;
  has_more: boolean;
}
type InRoom = { live_id: Id };

export interface Client {
  readonly token: string;
  readonly userId: string;
  readonly gifts: Gifts;
  /** The server requires a new login: call wx.login, then `login`. */
  on(name: "signedOut", listener: (reason: { status: number; code: string }) => void): () => void;
  room(live_id: Id): RoomSocket;

  login(params: { appId: string; code: string }): Promise<Login>;
  createUser(params: {
    appId: string;
    code: string;
    encryptedData: string;
    iv: string;
  }): Promise<NewUser>;
  logout(): Promise<Ok>;
  updateUserinfo(
    params: Partial<{
      nickname: string;
      gender: 1 | 2;
      age: number;
      area: string;
      face_url: string;
      show_in_ranking: boolean;
    }>,
  ): Promise<UserInfo>;
  getUserinfo(params?: { user_id?: string }): Promise<UserInfo & { rate: string }>;
  getUserState(): Promise<UserState>;
  getUsersInfo(
    params: InRoom & { gender: 1 | 2; page?: number },
  ): Promise<Array<{ user_id: string; face_url: string; nickname: string; state: 0 | 1 }>>;
  getLivelist(params?: { page?: number }): Promise<LiveRoom[]>;
  getPlayurl(params: InRoom): Promise<PlayUrl>;
  getConfigs(): Promise<Record<string, any>>;
  matchmakerEnter(): Promise<MatchmakerEnter>;
  applyMicro(params: InRoom): Promise<Ok>;
  inviteMicro(params: InRoom & { user_id: string }): Promise<Ok>;
  acceptMicro(params: InRoom): Promise<OnMic & { push_url: string; gender: Gender }>;
  refuseMicro(params: InRoom): Promise<Ok>;
  leaveMicro(params: InRoom & { user_id?: string; gender?: 1 | 2 }): Promise<Ok>;
  leaveRoom(params: InRoom): Promise<Ok>;
  putOut(params: InRoom & { user_id: string; minutes?: number }): Promise<Ok>;
  liveEnd(params: InRoom): Promise<Ok>;
  rank(params: InRoom): Promise<Rank>;
  dayRank(params?: { day?: string }): Promise<Rank>;
  getGifts(params?: { page?: number }): Promise<GiftPage>;
  pushGift(params: { user_id: string; gift_id: Id; num?: number }): Promise<GiftGiven>;
  getBlocks(): Promise<Array<{ id: number; gold: number; price: string }>>;
  pay(params: { block_id: Id; platform?: string }): Promise<Order>;
  /** Keep the request_id until there is an answer: repeated, it is the same withdrawal. */
  withdraw(params: {
    income: number;
    request_id: string;
    real_name?: string;
  }): Promise<Withdrawal & { status: "success"; detail: string }>;
  withdrawals(params?: { page?: number }): Promise<Withdrawals>;
  cancelWithdrawal(params: {
    withdrawal_id: string;
  }): Promise<Withdrawal & { status: "success"; detail: string }>;
  /** WeChat's page for a withdrawal that awaits its user, then the withdrawals as they are now. */
  confirmWithdrawal(
    withdrawal: Pick<Withdrawal, "mch_id" | "app_id" | "package_info">,
  ): Promise<Withdrawals>;
  like(params: { user_id: string; like_state: 0 | 1 }): Promise<Ok>;
  getLike(params: { user_id: string }): Promise<{ like_state: 0 | 1 }>;
}

/** Every endpoint: client method name, HTTP method and path. */
export const CALLS: Record<string, [method: "GET" | "POST", path: string]>;

export function createClient(options: {
  /** API URL, as in https://example.com/wx/api/qlive */
  base: string;
  platform?: Platform;
  /** Milliseconds for which a gift is retried before `Unanswered`; one minute by default. */
  giftPatienceMs?: number;
}): Client;
