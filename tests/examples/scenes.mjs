// Writes moments of the running example as HTML into a folder, for test_pages.py, which shows them in Chromium.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { buildApp, resolveRpx } from "./build.mjs";
import { FACE } from "./scenery.mjs";
import { phones } from "./phones.mjs";

const OUTPUT = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), "qlive-scenes-"));
const ROOM = ["open", "/pages/room/room?live_id=1", true];
const RUNS = ["fireAll", "seat--video", "statechange", { code: 2004 }];
const PUSHES = ["fireAll", "seat--video", "statechange", { code: 1002 }];
const JOINED = [["settle"], ["attribute", "main--say", "placeholder", /./]];
const tap = (text) => ["tap", text];
const SHEETS = {
  host: { 排麦: "queue", 观众: "audience", 画面: "own-video", 更多: "settings" },
  male: { 排麦: "queue", 画面: "own-video", 送礼: "gifts" },
  viewer: { 排麦: "queue", 送礼: "gifts" },
};
const PAGES = ["list", "me", "recharge", "wallet", "about", "follows"];
const TALK = ["open", "/pages/talk/talk?user_id=20000003&nickname=%E5%A9%B7%E5%A9%B7", true];
const MATCH = { user: { user_id: "20000003", nickname: "婷婷", face_url: FACE, gender: 2 }, live_id: 1, at: 1 };

const PRIVATE = { visibility: "private", audience_count: 3 };
const DEPUTIES = { deputies: ["30000000", "10000002"] }; // the viewer and the man
const INVITED = { invitations: [{ invitation_id: "K7aB", kind: "room", live_id: 2, room_name: "江浙沪专场·缘来是你", host: { nickname: "月老小雅" }, expires_at: 1 }] };
const invites = (text) => [tap("更多"), tap("邀请进房"), ["sees", "20:15 前有效"], tap(text), ["settle"]];
const openPage = (name) => ["open", `/pages/${name}/${name}`, true];
const PAUSED = { status: "paused" };
const EMPTY = { male: null, female: null };
const PHONE_OF_OLD = { platform: "ios", version: "8.0.1" };
const state = (code) => ["fireAll", "seat--video", "statechange", { code }];
/** How host and guest see a private room, invitations and the work of deputies. */
const OTHERS = {
  host: {
    private: [{ room: PRIVATE }, ["sees", "会被审核和留存"]],
    "private-settings": [{ room: PRIVATE }, tap("更多"), ["sees", "专属房 ▾"]],
    "invite-friend": [{ room: PRIVATE }, ...invites("微信好友"), ["sees", "发送给微信好友"]],
    "invite-code": [{ room: PRIVATE }, ...invites("小程序码"), ["sees", "扫码进入"]],
    "list-host": [{}, openPage("list"), ["set", { choices: ["专属房"] }], tap("公开 ▾"), ["sees", "专属房 ▾"]],
    lives: [{}, openPage("lives"), ["sees", "135 分钟"]],
    followers: [{ room: { visibility: "followers" } }, ["sees", "仅粉丝"], tap("更多"), ["sees", "仅粉丝 ▾"]],
  },
  male: { "deputy-on-mic": [{ room: DEPUTIES }, ["sees", "更多"]] },
};
/** How the room and other pages look in other states: the scene, and the steps that follow its begin. */
const MOMENTS = {
  deputy: [{ room: DEPUTIES }, ["sees", "更多"]],
  "deputy-queue": [{ room: DEPUTIES }, tap("排麦"), ["sees", "婉拒"]],
  "deputy-settings": [{ room: DEPUTIES }, tap("更多"), ["sees", "辞去房管"]],
  "invited-room": [INVITED, ["sees", "邀请你进入直播间"]],
  "invited-list": [INVITED, openPage("list"), ["settle"], ["sees", "邀请你进入直播间"]],
  "list-filtered": [{ isEmpty: true }, openPage("list"), tap("上海"), ["sees", "没有符合条件"]],
  connecting: [{ state: "connecting" }, ["sees", "连接中"]],
  away: [{ room: PAUSED }, ["sees", "暂时离开"]],
  empty: [{ room: EMPTY }, ["sees", "虚位以待"]],
  lost: [{}, ["sees", "周五相亲"], state(2103), ["sees", "视频断开"]],
  weak: [{}, ["sees", "周五相亲"], state(2004), state(2104), ["sees", "网络不稳定"]],
  muted: [{ room: { mute_all: true } }, ["attribute", "main--say", "placeholder", /全员禁言/]],
  invited: [{ invited: true }, ["sees", "邀请你上麦"]],
  preview: [{ invited: true }, ["sees", "邀请你上麦"], ["tap", "接受"], ["sees", "上麦预览"]],
  "not-allowed": [{ invited: true, phone: { permitted: false } }, ["tap", "接受"], ["sees", "没有摄像头"]],
  "no-money": [{}, ["tap", "送礼"], ["tap", "烟花"], ["sees", "金币不足"]],
  ended: [{}, ["sees", "周五相亲"], ["frame", "live_end", { reason: "host" }], ["sees", "直播已结束"]],
  "put-out": [{}, ["sees", "周五相亲"], ["bye", 4503], ["sees", "被请出"]],
  replaced: [{}, ["sees", "周五相亲"], ["bye", 4509], ["sees", "另一处"]],
  "new-code": [{}, ["sees", "周五相亲"], ["bye", 4599], ["sees", "连接被服务器关闭"]],
  refused: [{ refusals: { "get_playurl/": "high_risk" } }, ["sees", "看看别的直播"]],
  matched: [{}, ["sees", "周五相亲"], ["news", "match", MATCH], ["sees", "你和婷婷互相喜欢"]],
  matches: [{}, openPage("follows"), tap("配对"), ["sees", "2026-11-23 配对"]],
  "follows-empty": [{ isEmpty: true }, openPage("follows"), ["sees", "还没有关注"]],
  talk: [{}, TALK, ["attribute", "main--say", "placeholder", /./], ["fire", "main--say", "confirm", { value: "今天聊得很开心，周末有空一起喝咖啡吗？" }], ["sees", "咖啡"]],
  "list-empty": [{ isEmpty: true }, openPage("list"), ["sees", "没有人开播"]],
  "recharge-old": [{ phone: PHONE_OF_OLD }, openPage("recharge"), ["sees", "请更新微信"]],
};

async function write(phone, name, steps) {
  for (const [command, ...args] of steps) await phone[command](...args);
  writeFileSync(join(OUTPUT, `${name}.html`), await phone.html());
}

buildApp(folder, "http://server.invalid");
resolveRpx(folder);
const { newPhone, end } = phones(folder);
try {
  await Promise.all(
    Object.keys(SHEETS).map(async (role) => {
      const phone = newPhone(role, { scene: { role, applicants: 0 } });
      await phone.launch();
      for (const applicants of [0, 8, 30]) {
        const entered = [["set", { scene: { role, applicants } }], ROOM, ["sees", "周五相亲"], ...JOINED, RUNS, PUSHES, ["frames"]];
        await write(phone, `${role}-${applicants}`, entered);
        const sheets = Object.entries(SHEETS[role]).filter(([, sheet]) => applicants === 30 || sheet === "queue");
        for (const [text, sheet] of sheets) {
          await write(phone, `${role}-${applicants}-${sheet}`, [tap(text), ["sees", text], ["settle"]]);
          await phone.fire("sheet--mask", "tap");
        }
      }
      for (const page of role === "viewer" ? PAGES : []) await write(phone, page, [openPage(page), ["settle"]]);
      for (const [name, [scene, ...steps]] of Object.entries(OTHERS[role] || MOMENTS)) {
        await phone.set({ permitted: true, platform: "devtools", ...scene.phone });
        await write(phone, name, [["set", { scene: { role, applicants: 3, ...scene } }], ROOM, ["settle"], ...steps]);
      }
    }),
  );
} finally {
  await end();
  rmSync(folder, { recursive: true });
}
