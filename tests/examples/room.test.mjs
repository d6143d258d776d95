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
  await phone.sees("你进入了直播间");
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
    ...Array.from({ length: role === "host" ? 130 : 3 }, (_, n) => gift(n)),
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
  await phone.set({ speed: 1 });
  await died(); // to be asked for in half a minute, but the person leaves
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
  await phone.set({ speed: 10_000 });
  await died();
  await phone.asks("get_playurl/");
  const [first] = (await recorded(phone, "delays")).filter((delay) => delay >= 1000);
  assert.ok(first <= 2500, "a video that has played begins the series anew");
});

test("the page keeps the names of senders whose lines are shown, however long the live", async () => {
  const phone = await inRoom({ role: "viewer" });
  const network = new BroadcastChannel("lite-chat");
  for (let n = 0; n < 310; n++) {
    network.postMessage({ type: "text", to: "g", from: `sender-${n}`, payload: { text: `line ${n}` }, time: 1 });
  }
  await phone.sees("line 309");
  network.close();
  const kept = (await recorded(phone, "sets")).map((set) => JSON.parse(set).names).filter(Boolean);
  assert.ok(kept.length >= 1);
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

/** A phone that shows a page of the scene. */
async function onPage(name, scene) {
  const phone = newPhone("viewer", { scene: { role: "viewer", ...scene } });
  await phone.launch();
  await phone.open(`/pages/${name}/${name}`, true);
  await phone.settle();
  return phone;
}

const callsOf = async (phone, path) => (await recorded(phone, "calls")).filter(([called]) => called === path).map(([, params]) => params);
const INVITATION = { invitation_id: "K7aB", kind: "room", live_id: 2, room_name: "江浙沪专场", host: HOST, expires_at: 1 };
const TEXT = "月老小雅 邀请你进入直播间";

test("an invitation into a room is shown on each page until it ends, and can be refused", async () => {
  const phone = await onPage("wallet");
  await phone.news("invitation", { ...INVITATION, kind: "seat" }); // shown by the room
  await phone.news("invitation", INVITATION);
  for (const name of ["list", "me", "recharge", "about"]) {
    await phone.sees(TEXT);
    await phone.open(`/pages/${name}/${name}`);
  }
  await phone.news("invitation_end", { invitation_id: "K7aB", reason: "expired" });
  await phone.misses(TEXT);
  await phone.back();
  await phone.misses(TEXT);
  await phone.news("invitation", INVITATION);
  await phone.tap("忽略");
  await phone.asks("qlive_room/invitation/withdraw/");
  assert.deepEqual(await callsOf(phone, "qlive_room/invitation/withdraw/"), [{ live_id: 2, ticket: "K7aB" }]);
});

test("an invitation leads into the room with its ticket, and out of the room before; a host stays", async () => {
  const [phone, host] = await Promise.all(["viewer", "host"].map((role) => inRoom({ role })));
  for (const each of [phone, host]) await each.news("invitation", INVITATION);
  await phone.sees("江浙沪专场");
  await host.misses(TEXT);
  await recorded(phone, "calls");
  await phone.tap("进入");
  await phone.asks("qlive_room/leave_room/");
  await phone.sees("你进入了直播间");
  await phone.settle();
  const calls = (await recorded(phone, "calls")).filter(([path]) => ["get_playurl/", "qlive_room/leave_room/"].includes(path));
  assert.deepEqual(calls.map(([path, params]) => [path, params.ticket]), [["qlive_room/leave_room/", undefined], ["get_playurl/", "K7aB"]]);
});

test("a phone in a room has one socket, which carries the user's channel", async () => {
  const phone = await inRoom({ role: "viewer" });
  const [own, room, ...others] = (await callsOf(phone, "socket")).map((url) => new URL(url).searchParams);
  assert.ok(!own.has("live_id") && room.get("live_id") === "1" && room.get("own") === "1");
  assert.deepEqual(others, []);
  await phone.news("payment", { order: "1", gold: 980 });
  await phone.hears("充值到账 980 金币");
});

test("pages follow the user's gold, income, withdrawals and checked profile without asking again and again", async () => {
  const phone = await onPage("me");
  await phone.news("balance", { gold: 1500, income: 77 });
  for (const text of ["1500", "77", "≈ ¥7.70"]) await phone.sees(text);
  const again = async (path, type, data, toast) => {
    await phone.settle();
    await recorded(phone, "paths");
    await phone.news(type, data);
    await phone.asks(path);
    await phone.hears(toast);
    await phone.settle();
  };
  await again("qlive_user/get_userinfo/", "checked", { what: "nickname", outcome: "shown" }, "昵称审核通过");
  await again("qlive_user/get_userinfo/", "checked", { what: "face", outcome: "refused" }, "头像没有通过审核");
  await phone.open("/pages/recharge/recharge", true);
  await phone.settle();
  await phone.news("balance", { gold: 1600, income: 77 });
  await phone.sees("1600");
  await phone.open("/pages/wallet/wallet", true);
  await again("qlive_pay/withdrawals/", "withdrawal", { withdrawal_id: "1", state: "paid" }, "提现：已到账");
  await phone.news("balance", { gold: 1600, income: 88 });
  await phone.sees("≈ ¥8.80");
  await phone.news("refund", { order: "1", gold: 60, state: "refunded" });
  await phone.hears("已退款，扣回 60 金币");
});

test("a room opens with a ticket from a card, a code or a private message, and later without it", async () => {
  const entries = [
    ["t=K7aB", { query: {} }, { ticket: "K7aB" }],
    ["scene=K7%2561B", { query: { scene: "K7%61B" } }, { ticket: "K7aB" }],
    ["t=K7aB", { query: { t: "K7aB" }, shareTicket: "s" }, { ticket: "K7aB", encryptedData: "proof of s", iv: "i" }],
    ["t=K7aB", { query: { t: "other" }, shareTicket: "s" }, { ticket: "K7aB" }],
    ["live_id=1", { query: {} }, { live_id: "1" }],
  ];
  const phone = await onPage("list");
  for (const [query, entered, params] of entries) {
    await phone.set({ entered });
    await recorded(phone, "calls");
    await phone.open(`/pages/room/room?${query}`, true);
    await phone.sees("你进入了直播间");
    assert.deepEqual(await callsOf(phone, "get_playurl/"), [params], query);
    await phone.bye(4509); // still a member
    await phone.tap("在这里继续");
    await phone.lacks("main--over");
    await phone.settle();
    assert.deepEqual(await callsOf(phone, "get_playurl/"), [{ live_id: "1" }]);
  }
  await phone.set({ scene: { role: "viewer", refusals: { "get_playurl/?live_id": "invitation_required" } } });
  await phone.open("/pages/room/room?t=K7aB", true);
  await phone.sees("你进入了直播间");
  await phone.bye(4504); // away for too long
  await phone.tap("在这里继续");
  await phone.lacks("main--over");
  await phone.settle();
  assert.deepEqual(await callsOf(phone, "get_playurl/"), [{ ticket: "K7aB" }, { live_id: "1" }, { ticket: "K7aB" }]);
});

test("new streams of a room that has become private are played and pushed, once", async () => {
  const by = { user_id: HOST.user_id, nickname: HOST.nickname };
  const play_urls = { owner: "rtmp://new/0?txSecret=1", male: "rtmp://new/1?txSecret=1", female: null };
  const [viewer, host, man] = await Promise.all(["viewer", "host", "male"].map((role) => inRoom({ role })));
  await viewer.attribute("seat--video", "src", /rtmp:..play/);
  for (const phone of [host, man]) await recorded(phone, "paths");
  for (const phone of [viewer, host, man]) await phone.frame("visibility", { visibility: "private", by, play_urls });
  await viewer.attribute("seat--video", "src", /rtmp:..new.0/);
  for (const phone of [viewer, host, man]) await phone.sees("专属房内的聊天和视频与其他直播间一样会被审核和留存");
  for (const phone of [host, man]) {
    await phone.asks("get_playurl/");
    await phone.settle();
    assert.equal((await recorded(phone, "paths")).filter((path) => path === "get_playurl/").length, 1);
  }
  await viewer.frame("visibility", { visibility: "public", by });
  await viewer.misses("审核和留存");
  await viewer.sees("红娘公开了直播");
});

test("what WeChat cannot make now is replaced by a card with the ticket", async () => {
  const phone = await inRoom({ role: "host", isWechatAway: true });
  await phone.tap("更多");
  await phone.tap("邀请进房");
  for (const text of ["链接", "小程序码", "微信好友"]) {
    await phone.tap(text);
    await phone.settle();
    assert.equal(await phone.shares("invite--send"), "/pages/room/room?t=K7aB");
    await phone.tap("收回");
    await phone.lacks("invite--send");
  }
  await phone.hears("微信暂时没有回应", 3);
});

test("a deputy mutes, puts out, refuses and invites, but neither host, guests nor deputies", async () => {
  const phone = await inRoom({ role: "viewer", applicants: 2, room: { deputies: ["30000000", "20000001"] } });
  const offered = async (name, type, detail) => {
    await phone.fire(name, type, detail);
    await phone.asks("qlive_user/blocks/");
    await phone.settle();
    return (await recorded(phone, "offered"))[0];
  };
  const person = (user_id) => offered("main--room", "person", { user_id });
  assert.deepEqual(await person("20000000"), ["禁言 10 分钟", "拉黑", "举报", "请出"]);
  assert.deepEqual(await person(MAN.user_id), ["禁言 10 分钟", "拉黑", "举报"]); // a guest
  for (const user_id of [HOST.user_id, "20000001"]) assert.deepEqual(await person(user_id), ["拉黑", "举报"]);
  await phone.tap("排麦");
  await phone.tap("婉拒");
  await phone.asks("qlive_room/leave_micro/");
  await phone.fire("sheet--mask", "tap");
  await phone.tap("更多");
  await phone.sees("邀请进房");
  await phone.frame("deputy", { ...NEW, user_id: "30000000", on: false });
  await phone.misses("邀请进房");
  await phone.lacks("sheet--panel");
});

test("the list is filtered by the user's province and a free seat, and a live begins private", async () => {
  const phone = newPhone("host", { scene: { role: "host" } });
  await phone.launch();
  await phone.set({ choices: ["专属房"] });
  for (const text of ["上海", "女嘉宾空位", "上海", "公开 ▾"]) {
    await phone.tap(text);
    await phone.settle();
  }
  await phone.sees("专属房 ▾");
  await phone.tap("开播");
  await phone.settle();
  const calls = (await recorded(phone, "calls")).filter(([path]) => ["get_livelist/", "qlive_room/matchmaker_enter/"].includes(path));
  assert.deepEqual(calls.map(([, params]) => params), [
    { page: "1" },
    { page: "1", area: "310100" },
    { page: "1", area: "310100", free: "female" },
    { page: "1", free: "female" },
    { visibility: "private" },
  ]);
});

test("a viewer follows the host in the room, and is asked for a notice then and when a live has ended", async () => {
  const phone = await inRoom({ role: "viewer" });
  const asked = () => callsOf(phone, "/phone/notice"); // the simulator's, as wx.requestSubscribeMessage
  await phone.tap("关注");
  await phone.hears("已关注");
  await phone.lacks("main--follow");
  await phone.settle();
  const calls = (await recorded(phone, "calls")).filter(([path]) => ["qlive_follow/", "/phone/notice"].includes(path));
  const consent = { name: "viewer", template_id: "notice", choice: "accept" };
  assert.deepEqual(Object.fromEntries(calls), { "qlive_follow/": { user_id: HOST.user_id, on: true }, "/phone/notice": consent });
  await phone.frame("live_end", { ...HOST, reason: "host" });
  await phone.tap("看看别的直播");
  await phone.sees("江浙沪专场"); // the list
  assert.deepEqual(await asked(), [consent]);

  const other = await inRoom({ role: "viewer" });
  await other.frame("live_end", { ...HOST, reason: "host" });
  await other.tap("看看别的直播");
  await other.sees("江浙沪专场");
  assert.deepEqual(await callsOf(other, "/phone/notice"), []); // not a follower
});

test("the notice of a live that is over opens the list, and a live for followers says so", async () => {
  const scene = { role: "viewer", refusals: { "get_playurl/": "not_live" } };
  const phone = newPhone("viewer", { scene });
  await phone.launch();
  await phone.open("/pages/room/room?live_id=1", true);
  await phone.hears("直播已结束");
  await phone.sees("江浙沪专场");
  await phone.set({ scene: { ...scene, refusals: { "get_playurl/": "followers_only" } } });
  await phone.tap("江浙沪专场");
  await phone.sees("只有红娘的粉丝能进这个直播间");
});

test("followed users who are live come first, are read again as one goes live, and are entered with a tap", async () => {
  const phone = await onPage("follows");
  await phone.sees("● 直播中");
  const follows = async () => (await recorded(phone, "calls")).filter(([path]) => path === "qlive_follow/").map(([, params]) => params);
  await follows();
  await phone.tap("浩然"); // not live
  await phone.hears("现在没有开播");
  await phone.news("live_started", { host: HOST, live_id: 9, room_name: "r" });
  await phone.hears("月老小雅开播了");
  await phone.settle();
  assert.deepEqual([await follows(), await recorded(phone, "dots")], [[{ page: "1" }], [1]]);
  await phone.fire("main--end", "tap");
  await phone.misses("志强");
  assert.deepEqual(await follows(), [{ user_id: "20000000", on: false }]);
  await phone.fire("main--who", "tap");
  await phone.sees("你进入了直播间");
});

test("a match is shown on each page until it is answered, leads to a chat, and ends in the list", async () => {
  const match = { user: { ...NEW, nickname: "婷婷", gender: 2 }, live_id: 1, at: 1 };
  const phone = await inRoom({ role: "male" });
  await phone.news("match", match);
  await phone.sees("你和婷婷互相喜欢");
  await phone.tap("稍后");
  await phone.lacks("matched--matched");
  await phone.news("match", match);
  await phone.tap("聊一聊");
  await phone.attribute("main--say", "placeholder", /./);
  await phone.fire("main--say", "confirm", { value: "晚上好" });
  await phone.counts("main--own", 1);
  await phone.set({ choices: ["拉黑"] });
  await phone.tap("更多");
  await phone.hears("好了");
  await phone.back();
  await phone.sees("周五相亲"); // the room's chat goes on
  await phone.attribute("main--say", "placeholder", /说点什么/);
  await phone.lacks("matched--matched");
  await phone.open("/pages/follows/follows", true);
  await phone.tap("配对");
  await phone.counts("main--person", 3);
  await phone.fire("main--end", "tap");
  await phone.counts("main--person", 2);
  assert.deepEqual((await callsOf(phone, "qlive_match/end/")).map(({ user_id }) => user_id), ["20000003"]);
});

test("a guest may like the other guest, and not the host", async () => {
  const phone = await inRoom({ role: "male" });
  await phone.set({ choices: [null, "喜欢"] });
  for (const name of ["月老小雅", "秀英"]) {
    await phone.tap(name);
    await phone.settle();
  }
  await phone.hears("好了");
  const offered = await recorded(phone, "offered");
  assert.deepEqual(offered.map((actions) => actions.includes("喜欢")), [false, true]);
  assert.deepEqual((await callsOf(phone, "qlive_like/")).at(-1), { user_id: "10000003", like_state: 1 });
});
