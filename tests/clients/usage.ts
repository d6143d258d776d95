// A mini-program in TypeScript: what it may write, and what the types have to refuse.

import {
  RECONNECT,
  createClient,
  isRefused,
  roleIn,
  seatOf,
  wxPlatform,
  type Chat,
  type Client,
  type Frame,
  type FrameOf,
  type LiteChat,
  type Purchase,
  type Snapshot,
} from "qlive-miniprogram";
import { errorText } from "qlive-miniprogram/texts";

declare const liteChat: LiteChat;

const client: Client = createClient({
  base: "https://example.com/wx/api/qlive",
  platform: wxPlatform(wx),
});

export async function evening(live_id: string): Promise<void> {
  const { created, user_id, live_id: current } = await client.signIn({ nickname: "新人", gender: 2 });
  client.on("signedOut", () => void client.signIn());
  if (created) wx.navigateTo({ url: `/pages/me/me?user_id=${user_id}&live_id=${current ?? ""}` });
  wx.chooseMedia({
    count: 1,
    success: ({ tempFiles: [file] }) => void client.uploadFace(file.tempFilePath),
  });
  await client.updateUserinfo({ area: null, height: 170 });
  await client.uploadCover(live_id, "wxfile://tmp_cover.png");
  await client.getPlayurl({ live_id });

  const room = client.room(live_id);
  const chat: Chat = client.chat(liteChat);
  room.on("state", (shown: Snapshot) => show(shown.status, shown.male?.nickname ?? ""));
  room.on("seated", ({ play_url }) => show("live", play_url));
  room.on("connection", (connection) => {
    if (connection.phase === "closed") show("ended", RECONNECT.final_codes[connection.code]);
  });
  room.on("frame", (frame: Frame) => {
    if (frame.type === "gift") showGift(frame);
    if (frame.type === "bye") show("ended", frame.reason satisfies string);
    if (frame.type === "micro_invite") show("live", new Date(frame.data.expires_at).toString());
  });
  room.once("invited", ({ expires_at }) => show("live", expires_at.toFixed()));
  room.open();
  if (roleIn(room.state, user_id) === "host") show("live", seatOf(room.state, user_id) ?? "");
  const channel = client.channel();
  channel.on("state", ({ gold, invitations: [first] }) => show("live", `${gold.toFixed()} ${first?.host.nickname}`));
  channel.on("invitation_end", ({ reason }) => show("live", reason satisfies string));
  channel.on("where", (where) => show("live", String(where.live_id)));
  channel.on("match", ({ user }) => show("live", user.nickname));
  channel.on("live_started", ({ host, live_id: started }) => show("live", `${host.nickname} ${started.toFixed()}`));
  channel.on("frame", (frame) => {
    if (frame.type === "withdrawal") show("live", frame.data.state);
    if (frame.type === "snapshot") show("live", frame.reset ?? frame.data.income.toFixed());
    if (frame.type === "bye") show("live", frame.reason);
  });
  channel.open();
  // @ts-expect-error: a room has invitations to seats only
  room.on("invitation", () => {});
  const { live_id: invitedTo } = await client.enterWithTicket("t", "s");
  client.room(invitedTo).open();
  await client.applyMicro({ live_id }).catch((error) => wx.showToast({ title: errorText(error, "en") ?? "" }));
  await chat.join(room);
  chat.on("message", ({ from, text, at }) => show("live", `${from} ${text} ${at.toFixed()}`));
  await chat.send("晚上好");
  const lines = await chat.talkTo(user_id);
  chat.on("private", ({ from, old }) => show("live", `${from} ${old ?? lines.length}`));
  if (!chat.joined) await chat.sendTo(user_id, "在吗");
  const { followers } = await client.follow({ user_id, on: true });
  if (await client.askForNotice()) show("live", followers.toFixed());
  const { gold } = await client.pushGift({ user_id, gift_id: "1" });
  if (gold < 10) showPurchase(await client.buy(1));

  await client.acceptMicro({ live_id }).catch((error: unknown) => {
    if (isRefused(error, "seat_taken")) show("live", error.code satisfies "seat_taken");
    else if (isRefused(error)) show("live", error.requestId);
    // @ts-expect-error: there is no such code
    isRefused(error, "seat_token");
  });

  // @ts-expect-error: a like is 0 or 1
  await client.like({ user_id, like_state: 2 });
  // @ts-expect-error: a room has a number, and no name
  await client.getPlayurl({ live_id: true });
  // @ts-expect-error: names at IM are not checked
  chat.on("message", ({ nickname }) => show("live", nickname));
  // @ts-expect-error: there is no such event
  room.on("exploded", () => {});
  // @ts-expect-error: nothing is known about gold that is on its way
  showPurchase(({ state: "pending" } as const satisfies Purchase).gold);
}

function show(status: "live" | "paused" | "ended", line: string): void {
  console.log(status, line);
}

function showGift({ data }: FrameOf<"gift">): void {
  show("live", `${data.gift.name} ${data.num}`);
  // @ts-expect-error: a gift has no seat
  show("live", data.seat);
}

function showPurchase(purchase: Purchase): void {
  switch (purchase.state) {
    case "paid":
      return show("live", String(purchase.gold));
    case "pending":
    case "cancelled":
      return show("live", purchase.state);
  }
}
