// What the example does on one phone, without a server: see scenery.mjs.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { buildApp } from "./build.mjs";
import { phones } from "./phones.mjs";

const folder = mkdtempSync(join(tmpdir(), "qlive-room-"));
const { newPhone, end } = phones(folder);
const HOST = { user_id: "10000001", nickname: "月老小雅", face_url: "https://pictures.example.com/faces/10000001/1.png", gender: 2 };
const MAN = { ...HOST, user_id: "10000002", nickname: "阿明", gender: 1 };
const NEW = { ...MAN, user_id: "20000099", nickname: "新来的" };
const GIFT = { id: 1, name: "玫瑰", image: "https://pictures.example.com/gifts/rose.png", effect: "fly" };
const gift = (n) => ["gift", { from: NEW, to: HOST, gift: GIFT, num: 9, gold: 9, request_id: `request-${n}-of-a-phone` }];
const MOST_BYTES = 600;

before(() => buildApp(folder, "http://server.invalid"));
after(async () => {
  await end();
  rmSync(folder, { recursive: true });
});

/** A phone in the room of a scene. */
async function inRoom(scene) {
  const phone = newPhone(scene.role, { scene });
  await phone.launch();
  await phone.open("/pages/room/room?live_id=1", true);
  await phone.sees("聊天连接中");
  await phone.attribute("main--say", "placeholder", /./);
  await phone.settle();
  return phone;
}

const recorded = async (phone, name) => JSON.parse(await phone.recorded(name));

async function checkEvents(phone, role) {
  const seat = { play_url: "rtmp://play", area: "310100", age: 30 };
  const as = { role: "male" };
  const events = [
    ["micro_apply", { ...NEW, applied_at: 1, expires_at: 2 }],
    ["micro_invite", { ...NEW, expires_at: 2 }],
    ["micro_refuse", { ...NEW, reason: "withdrawn" }],
    ["member_away", { ...MAN, ...as }],
    ["member_back", { ...MAN, ...as }],
    ...(role === "male" ? [] : [["micro_leave", { ...MAN, reason: "left" }], ["micro_accept", { ...NEW, ...seat }]]),
    ["profile", { ...NEW, nickname: "改了名" }],
    ["room_info", { room_name: "另一个名字", room_image: "" }],
    ["micro_leave", { user_id: "10000003", nickname: "秀英", gender: 2, face_url: "", reason: "left" }],
    ["mute", { user_id: NEW.user_id, until: 0 }],
    ["mute_all", { mute_all: true }],
    ["mute_all", { mute_all: false }],
    ["live_pause", HOST],
    ["live_resume", HOST],
    ...Array.from({ length: 130 }, (_, n) => gift(n)),
    ["live_end", { ...HOST, reason: "host" }],
  ];
  const notOfEffect = (data) => !data.startsWith('{"shown":');
  await recorded(phone, "sets");
  for (const [type, data] of events) {
    await phone.frame(type, data);
    const sets = (await recorded(phone, "sets")).filter(notOfEffect);
    assert.equal(sets.length, 1, `${role} ${type}: ${sets}`);
    const bytes = Buffer.byteLength(sets[0]);
    if (type === "gift") assert.ok(bytes <= MOST_BYTES, `${bytes} bytes: ${sets[0]}`);
  }
}

test("an event costs one setData, and a gift at most 600 bytes, also when lines are dropped", async () => {
  const sheets = { host: "排麦", male: "画面", viewer: "送礼" };
  await Promise.all(
    Object.keys(sheets).map(async (role) => {
      const phone = await inRoom({ role, applicants: 20 });
      await phone.tap(sheets[role]);
      await phone.settle();
      await checkEvents(phone, role);
    }),
  );
});

test("a video that plays or is pushed has no caption, and a warning is gone after five seconds", async () => {
  const phone = await inRoom({ role: "male", applicants: 0 });
  const state = (name, ...codes) => Promise.all(codes.map((code) => phone.fireAll(name, "statechange", { code })));
  await phone.counts("seat--video", 3);
  await state("seat--video", 2001, 2003, 2004, 1007, 1001, 1002); // the camera's first frame comes first
  await phone.misses("视频连接中");
  for (const warning of [1101, 2104, 2105]) {
    await recorded(phone, "delays");
    await phone.set({ speed: 1 });
    await state("seat--video", warning);
    await phone.sees("网络不稳定");
    assert.ok((await recorded(phone, "delays")).includes(5000));
    await phone.set({ speed: 100 });
    await state("seat--video", warning);
    await phone.misses("网络不稳定");
  }
  await state("seat--video", 2103);
  await phone.sees("视频断开");
  await state("seat--video", 2004, 1002);
  await phone.misses("视频断开");
});

test("a dead stream is asked for less and less often, not while the person is away, and at once when back", async () => {
  const phone = await inRoom({ role: "viewer", room: { male: null, female: null } });
  const died = () => phone.fire("seat--video", "statechange", { code: -2301 });
  const asked = async () => (await recorded(phone, "paths")).filter((path) => path === "get_playurl/").length;
  await phone.set({ speed: 10_000 });
  await recorded(phone, "delays");
  for (const ms of [2000, 4000, 8000, 16000, 30000, 30000]) {
    await asked();
    await died();
    await phone.asks("get_playurl/");
    await phone.settle();
    const delays = (await recorded(phone, "delays")).filter((delay) => delay >= 1000 && delay !== 5000);
    assert.ok(delays.length === 1 && Math.abs(delays[0] - ms) <= ms / 4, `${delays} for ${ms}`);
  }
  await asked();
  await died(); // asked for already, but the person leaves
  await phone.frame("live_pause", HOST);
  await died();
  await phone.settle();
  assert.equal(await asked(), 0);
  assert.ok((await recorded(phone, "delays")).filter((delay) => delay >= 1000).length <= 1);
  await phone.frame("live_resume", HOST);
  await phone.asks("get_playurl/");
  await phone.settle();
  await phone.fire("seat--video", "statechange", { code: 2003 });
  await asked();
  await died();
  await phone.asks("get_playurl/");
  const [first] = (await recorded(phone, "delays")).filter((delay) => delay >= 1000);
  assert.ok(first <= 2500, "a video that has played begins the series anew");
});

test("the page keeps the names of senders whose lines are shown, however long the live", async () => {
  const phone = await inRoom({ role: "viewer" });
  const network = new BroadcastChannel("lite-chat");
  for (let n = 0; n < 700; n++) {
    network.postMessage({ type: "text", to: "g", from: `sender-${n}`, payload: { text: `line ${n}` }, time: 1 });
  }
  await phone.sees("line 699");
  network.close();
  const kept = (await recorded(phone, "sets")).map((set) => JSON.parse(set).names).filter(Boolean);
  assert.ok(kept.length >= 2);
  for (const names of kept) assert.ok(Object.keys(names).length <= 60);
});

test("the host reaches every viewer, however many have applied", async () => {
  const phone = await inRoom({ role: "host", applicants: 8, applied: 23, viewers: 20 });
  await phone.tap("观众");
  await phone.sees("请出");
  const rows = async () => (await phone.html()).match(/ viewer"/g)?.length || 0;
  const counts = [];
  for (let pages = 0; pages < 4; pages++) {
    await phone.settle();
    counts.push(await rows());
    await phone.fire("sheet--content", "scrolltolower");
  }
  assert.deepEqual(counts, [18, 34, 40, 40]); // the first page with viewers has one of each gender
  for (let n = 40; n > 30; n--) {
    await phone.tap("请出");
    await phone.counts("audience--viewer", n - 1);
  }
});

test("the export is written at the first tap and sent at the second, or copied if it cannot be sent", async () => {
  const phone = newPhone("viewer", { scene: { role: "viewer" } });
  await phone.launch();
  await phone.open("/pages/me/me", true);
  await phone.tap("导出我的数据");
  await phone.sees("把我的数据发送到聊天");
  assert.deepEqual(await recorded(phone, "shared"), []);
  await phone.tap("把我的数据发送到聊天");
  await phone.hears("已复制到剪贴板");
  assert.deepEqual(await recorded(phone, "shared"), ["user/my-data.json", '{"profile":[{"nickname":"观众小周"}]}']);
});

test("what WeChat's review asks for is there: privacy before the name, terms, complaints, a sitemap", async () => {
  const phone = newPhone("viewer", { scene: { role: "viewer" } });
  await phone.launch();
  await phone.open("/pages/me/me", true);
  await phone.set({ permitted: false });
  await phone.fire("main--name-shown", "tap");
  await phone.lacks("main--name-shown");
  await phone.attribute("main--field", "placeholder", /昵称/);
  assert.ok(!(await phone.html()).includes('type="nickname"'), "without WeChat's offer");
  await phone.set({ permitted: true });
  await phone.open("/pages/list/list", true);
  await phone.open("/pages/me/me", true);
  await phone.fire("main--name-shown", "tap");
  await phone.attribute("main--field", "type", /nickname/);
  await phone.tap("协议与帮助");
  await phone.tap("用户协议");
  await phone.sees("不能兑换现金");
  await phone.tap("未成年人保护");
  await phone.sees("未满 18 岁");
  await phone.tap("隐私保护指引");
  assert.deepEqual(await recorded(phone, "shared"), ["privacy"]);
  for (const text of ["投诉与建议", "联系客服"]) await phone.sees(text);
  const { rules } = JSON.parse(readFileSync(join(folder, "sitemap.json"), "utf8"));
  assert.deepEqual(rules.map(({ action, page }) => [action, page]), [["allow", "pages/list/list"], ["disallow", "*"]]);
  assert.equal(JSON.parse(readFileSync(join(folder, "app.json"), "utf8")).style, undefined);
});
