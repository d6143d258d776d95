// Type declarations of the QLive client SDK; api.d.ts has those of the server's calls and events.

import type {
  Applicant,
  Calls,
  EventData,
  Export,
  Gift,
  GiftGiven,
  Invitation,
  LoginIntoRoom,
  NewUser,
  Ok,
  OtherFrames,
  PlayUrl,
  RefusalCode,
  Snapshot,
  UpdateUserinfoRequest,
  UserEventData,
  UserInfo,
  Withdrawal,
  Withdrawals,
} from "./api.js";
export * from "./api.js";

export type Id = number | string;

/** Listeners by the name of their event; `on` and `once` return a function that removes the listener. */
export interface Emitter<Events> {
  on<Name extends keyof Events>(name: Name, listener: Events[Name]): () => void;
  once<Name extends keyof Events>(name: Name, listener: Events[Name]): () => void;
  off<Name extends keyof Events>(name: Name, listener: Events[Name]): void;
}

// ---- platform

export interface Reply {
  status: number;
  json: unknown;
  /** The SDK reads Retry-After and X-Request-Id. */
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

/** Temporary file of a mini-program, as chooseAvatar or wx.chooseMedia gives it; in the browser a Blob. */
export type Picture = string | { readonly size: number; readonly type: string };

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
  /** wx.updateShareMenu, so that what is shared next is the private message of this activity. */
  sharePrivately?(activityId: string): Promise<unknown>;
  /** wx.requestSubscribeMessage for this template: its answers by template. */
  askForNotice?(templateId: string): Promise<Record<string, string>>;
  /** wx.authPrivateMessage: WeChat's proof that the user has received a private message. */
  authPrivateMessage?(shareTicket: string): Promise<{ encryptedData: string; iv: string }>;
  /** wx.requestMerchantTransfer; resolves when WeChat has shown its page. */
  confirmTransfer?(transfer: { mchId: string; appId: string; package: string }): Promise<unknown>;
  appId?(): string;
  /** The code of wx.login. */
  login?(): Promise<string>;
  /** wx.requestVirtualPayment or wx.requestPayment; a refusal has `errCode` and `errMsg`. */
  requestPayment?(content: Record<string, any>): Promise<unknown>;
  /** MIME type ("" if unknown) and size in bytes of a picture. */
  picture?(file: Picture): Promise<{ type: string; size: number }>;
  /** Posts a form of which the file is the last part. */
  upload?(url: string, fields: Record<string, string>, file: Picture): Promise<{ status: number; text: string }>;
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
  /** HTTP status; 200 for some refusals of orders and withdrawals. */
  status: number;
  code: RefusalCode;
  /** What is wrong with a field, by its name; in English, for developers. */
  fields: Record<string, string>;
  /**
   * Seconds; 0 if the response has no Retry-After. Calls that are safe to repeat were already sent
   * up to twice more if it is at most five.
   */
  retryAfter: number;
  /** Of the server's log; "" if the response has none. */
  requestId: string;
}
/** Whether an error is a refusal by the server, with this code if one is given. */
export function isRefused<Code extends RefusalCode = RefusalCode>(
  error: unknown,
  code?: Code,
): error is Refused & { code: Code };
/** No response, or one that is not from QLive (then with its HTTP `status`). */
export class Unreachable extends Error {
  name: "Unreachable";
  status: number;
  requestId: string;
}
/** A picture that is not uploaded; `wrong_type`: not JPEG, PNG or WebP, `refused`: by COS. */
export class UploadFailed extends Error {
  name: "UploadFailed";
  code: "too_big" | "wrong_type" | "refused";
}
/** A payment that WeChat refuses; `code` is WeChat's errCode, 0 if it gives none. */
export class PaymentFailed extends Error {
  name: "PaymentFailed";
  code: number;
}
export class Unanswered extends Error {
  name: "Unanswered";
  gift: PendingGift;
}
export class Gap extends Error {
  name: "Gap";
}

// ---- room

export interface RoomState {
  live_id: number;
  epoch: string;
  seq: number;
  room: Snapshot;
}
/** Frame of the server, by its type: the snapshot, a numbered event, or another one. */
export type FrameOf<Type extends FrameType> = Type extends keyof EventData
  ? NumberedFrame<Type, EventData[Type]>
  : Type extends keyof OtherFrames
    ? OtherFrames[Type]
    : NumberedFrame<"snapshot", Snapshot> & { reset?: "epoch" | "too_old" | "ahead" };
export type FrameType = "snapshot" | keyof EventData | keyof OtherFrames;
/** Any frame; `frame.type` tells which. A newer server may send types that are not listed. */
export type Frame = { [Type in FrameType]: FrameOf<Type> }[FrameType];

type NumberedFrame<Type, Data> = EventFrame<Type, Data> & { live_id: number };
interface EventFrame<Type, Data> {
  type: Type;
  epoch: string;
  seq: number;
  /** Milliseconds since 1970. */
  ts: number;
  data: Data;
}

/** State of a snapshot frame. */
export function begin(snapshot: FrameOf<"snapshot">): RoomState;
/** State after one more frame; throws Gap if a frame is missing before it. */
export function fold(state: RoomState, frame: Frame): RoomState;
/** The user's open mic invitation, or null. */
export function invitation(state: Pick<RoomState, "room"> | null, userId: string): Applicant | null;
/** Until when (ms) the user may not write in the chat: 0, or Infinity if the host has muted everybody. */
export function mutedUntil(state: Pick<RoomState, "room"> | null, userId: string): number;
/** The seat on which the user sits, or null. */
export function seatOf(state: Pick<RoomState, "room"> | null, userId: string): "owner" | "male" | "female" | null;
export function roleIn(
  state: Pick<RoomState, "room"> | null,
  userId: string,
): "host" | "male" | "female" | "applied" | "viewer";

/** The rule by which a socket reconnects, in milliseconds; `final_codes` has the server's name of each final close code. */
export const RECONNECT: {
  base_ms: number;
  max_ms: number;
  min_ms: number;
  stable_ms: number;
  attempts_per_minute: number;
  token_code: number;
  final_from: number;
  final_to: number;
  final_codes: Record<string, string>;
};

export type Connection =
  | { phase: "connecting"; attempt: number }
  /** After a connect, or with `too_old` between events if the server missed too many of them. */
  | { phase: "live"; reset: "epoch" | "too_old" | "ahead" | null }
  | { phase: "resumed"; replayed: number }
  /** `delay` in milliseconds. */
  | { phase: "reconnecting"; attempt: number; delay: number; code: number; reason: string }
  | { phase: "closed"; code: number; reason: string };

export interface RoomEvents {
  state: (room: Snapshot, frame: Frame) => void;
  frame: (frame: Frame) => void;
  connection: (connection: Connection) => void;
  audience: (counts: Pick<Snapshot, "audience_count" | "num_list">) => void;
  /** About the current user: */
  invited: (invitation: Applicant) => void;
  seated: (event: EventData["micro_accept"]) => void;
  refused: (event: EventData["micro_refuse"]) => void;
  offMic: (event: EventData["micro_leave"]) => void;
}

export class RoomSocket implements Emitter<RoomEvents> {
  private constructor();
  on: Emitter<RoomEvents>["on"];
  once: Emitter<RoomEvents>["once"];
  off: Emitter<RoomEvents>["off"];
  readonly live_id: number;
  readonly state: RoomState | null;
  open(): void;
  close(): void;
  /** Called by itself when the app is shown or the network is back. */
  wake(): void;
}

// ---- the user's channel

/** `data` of the channel's frames that are not numbered: the latest counts, or it is sent once. */
export interface UserValues {
  balance: { gold: number; income: number };
  where: { live_id: number | null };
  /** A host whom the user follows has begun a live; one of the same room within ten minutes is not reported. */
  live_started: { host: { user_id: string; nickname: string; face_url: string }; live_id: number; room_name: string };
}
export type ChannelData = UserEventData & UserValues;
/** The channel as it is: what the user owns, where the user is, and invitations without an answer. */
export interface ChannelState {
  user_id: string;
  epoch: string;
  seq: number;
  gold: number;
  income: number;
  in_room: number | null;
  invitations: Invitation[];
}
/** Frame of the channel, by its type. */
export type ChannelFrameOf<Type extends ChannelFrameType> = Type extends keyof UserEventData
  ? EventFrame<Type, UserEventData[Type]> & { user_id: string }
  : Type extends keyof UserValues
    ? { type: Type; user_id: string; data: UserValues[Type] }
    : Type extends "resumed"
      ? { type: Type; user_id: string; epoch: string; seq: number; replayed: number }
      : Type extends "snapshot"
        ? EventFrame<Type, Omit<ChannelState, "user_id" | "epoch" | "seq">> & {
            user_id: string;
            reset?: "epoch" | "too_old" | "ahead";
          }
        : OtherFrames[Type & ("bye" | "heartbeat" | "pong")];
export type ChannelFrameType = "snapshot" | "resumed" | "bye" | "heartbeat" | "pong" | keyof ChannelData;
export type ChannelFrame = { [Type in ChannelFrameType]: ChannelFrameOf<Type> }[ChannelFrameType];

/** Beside these, each type of frame that has `data` is an event with this `data`. */
export type ChannelEvents = {
  state: (state: ChannelState, frame: ChannelFrame) => void;
  frame: (frame: ChannelFrame) => void;
  /** On the socket of a room, its reconnects are those of the channel. */
  connection: (connection: Connection) => void;
} & { [Type in keyof ChannelData]: (data: ChannelData[Type]) => void };

/** Has no socket of its own while that of a room carries it. */
export interface UserChannel extends Emitter<ChannelEvents> {
  readonly state: ChannelState | null;
  /** Connects and stays connected until `close`, the user is signed out, or a final close code. */
  open(): void;
  close(): void;
  /** Called by itself when the app is shown or the network is back. */
  wake(): void;
}

// ---- gifts

export interface PendingGift {
  request_id: string;
  owner: string;
  /** Milliseconds since 1970. */
  at: number;
  user_id: string;
  gift_id: Id;
  num: number;
  confirm?: true;
}
export interface GiftParams {
  user_id: string;
  gift_id: Id;
  num?: number;
  /** Of a user who was asked after a refusal with the code confirmation_needed. */
  confirm?: boolean;
}
export interface Gifts {
  push(params: GiftParams): Promise<GiftGiven>;
  pending(): PendingGift[];
  /** Retries immediately; call it after a login and whenever the network is back. */
  resume(): Promise<Array<{ gift: PendingGift; answer?: GiftGiven; error?: Error }>>;
  forget(request_id: string): void;
}

// ---- chat

/** `@tencentcloud/lite-chat` as a whole: its default export. */
export interface LiteChat {
  create(options: { SDKAppID: number }): any;
  EVENT: any;
  TYPES: any;
}
export interface ChatMessage {
  /** user_id of the sender, whose name and face the room or `getUserinfo` knows; IM's are not checked. */
  from: string;
  text: string;
  /** Milliseconds since 1970 */
  at: number;
  /** From before the join: IM shows newcomers the latest lines. */
  old?: true;
}
export interface ChatEvents {
  /** A text in the room's group; also one's own, when it has been sent. */
  message: (message: ChatMessage) => void;
  /** A text of a user to the current one alone, while the chat is logged in. */
  private: (message: ChatMessage) => void;
  /** Whether the chat is in the room's group; after an error, `join` joins it again. */
  connection: (connection: { joined: boolean; error: Error | null }) => void;
}
export interface Chat extends Emitter<ChatEvents> {
  /** Whether the chat is in the group of a room. */
  readonly joined: boolean;
  /** Joins the group of a room as soon as its socket is open, and each group that replaces it. */
  join(room: RoomSocket): Promise<void>;
  /** Refused with `muted`, `muted_all`, `banned`, `words`, `rate`, `imitation` or `not_in_room`; else IM's error. */
  send(text: string): Promise<void>;
  /** Logs in to IM; the latest lines between the user and another one, the earliest first. */
  talkTo(user_id: string): Promise<ChatMessage[]>;
  /** Sends a text to a user after `talkTo`; refused as `send` is. Its line is the answer, without an event. */
  sendTo(user_id: string, text: string): Promise<ChatMessage>;
  /** Leaves the group, if any, and logs out of IM; the chat may join a room later. */
  leave(): Promise<void>;
}

// ---- client

/** `created`: registered just now. The fields of LoginIntoRoom are there if the user is still in a room. */
export type SignedIn = NewUser & Partial<LoginIntoRoom> & { created: boolean };

/**
 * `paid`: the gold is there. `pending`: paid, or WeChat has not answered; the gold comes by itself if
 * it is paid.
 */
export type Purchase = { state: "paid"; gold: number } | { state: "pending" } | { state: "cancelled" };

export interface ClientEvents {
  /**
   * The server requires a new login. With `signInAgain`: it was tried, and refused; the reason is its
   * error, or that of the token if the user is unknown by now.
   */
  signedOut: (reason: { status: number; code: RefusalCode }) => void;
}

export interface Client extends Omit<Calls, "pushGift">, Emitter<ClientEvents> {
  readonly token: string;
  readonly userId: string;
  readonly gifts: Gifts;
  room(live_id: Id): RoomSocket;
  /** The user's channel, always the same. */
  channel(): UserChannel;

  /**
   * Signs in with wx.login and registers an unknown user, with these fields of updateUserinfo.
   * Calls at the same time share one attempt.
   */
  signIn(profile?: UpdateUserinfoRequest): Promise<SignedIn>;
  /** Uploads a picture and makes it the user's face; UploadFailed, Unreachable, Refused. */
  uploadFace(picture: Picture): Promise<UserInfo>;
  /** Uploads a picture and makes it the cover of the host's room. */
  uploadCover(live_id: Id, picture: Picture): Promise<Ok>;
  /** Everything that the server stores about the user, by section; null while the copy is made. */
  myData(): Promise<Export["export"] | null>;
  /** All gifts, the cheapest first. */
  allGifts(): Promise<Gift[]>;
  /** Orders a block of gold, has the user pay it, and waits for the gold; PaymentFailed, Refused. */
  buy(block_id: Id): Promise<Purchase>;
  /**
   * Enters a room with the ticket of an invitation. That of a WeChat friend opens only with the
   * `shareTicket` of wx.getEnterOptionsSync().
   */
  enterWithTicket(ticket: string, shareTicket?: string): Promise<PlayUrl & { live_id: number; group_id: string }>;
  /**
   * Has WeChat ask, within a tap, whether it may send one notice of a live, such as when the user leaves a
   * live that has ended. Whether the user agrees; never an error, and false without `noticeTemplateId`.
   */
  askForNotice(): Promise<boolean>;
  /** Makes what the user shares next the private message of an invitation; WeChat only. */
  shareInvitation(invitation: { activity_id: string }): Promise<void>;
  /** Chat over Tencent IM with lite-chat, of which this is the default export. */
  chat(liteChat: LiteChat): Chat;

  /** Sent with a request_id of its own until there is an answer. */
  pushGift(params: GiftParams): Promise<GiftGiven>;
  /** WeChat's page for a withdrawal that awaits its user, then the withdrawals as they are now. */
  confirmWithdrawal(
    withdrawal: Pick<Withdrawal, "mch_id" | "app_id" | "package_info">,
  ): Promise<Withdrawals>;
}

/**
 * Why a withdrawal was not paid; "" if there is no code, where `reason` may be an operator's text.
 * `platform`: WeChat blames the merchant, not the user.
 */
export function failureOf(
  withdrawal: Pick<Withdrawal, "fail_reason" | "reason">,
): "" | "name" | "limit" | "expired" | "cancelled" | "refund_case" | "platform" | "other";

/** Every endpoint: client method name, HTTP method and path. */
export const CALLS: Record<string, [method: "GET" | "POST", path: string]>;

export function createClient(options: {
  /** API URL, as in https://example.com/wx/api/qlive */
  base: string;
  platform?: Platform;
  /** Milliseconds for which a gift is retried before `Unanswered`; one minute by default. */
  giftPatienceMs?: number;
  /** That of the mini-program by default. */
  appId?: string;
  /** Template of the notice of a live: `follow` asks for the user's consent within the same tap. */
  noticeTemplateId?: string;
  /**
   * Whether a refused token is replaced by one sign-in, after which the call is sent once more (login,
   * createUser and pay are not) and sockets resume.
   */
  signInAgain?: boolean;
  /** Calls (debug), failed calls (warn), sign-ins after a refused token and the phases of sockets (info). */
  log?: (level: "debug" | "info" | "warn", message: string, data: Record<string, unknown>) => void;
}): Client;
