// An evening of three users in the example, against the server at QLIVE_ADDRESS.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { buildApp } from "./build.mjs";
import { phones } from "./phones.mjs";

const { QLIVE_ADDRESS: ADDRESS } = process.env;
const PICTURE = fileURLToPath(new URL("../../docs/pictures/demo-room.png", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "qlive-example-"));
const packages = join(folder, "miniprogram_npm");
const { newPhone, end } = phones(folder);
const chatNetwork = new BroadcastChannel("lite-chat");

/** As an operator does with a stolen phone. */
async function endSessions(nickname) {
  const call = async (path, options) => (await fetch(ADDRESS + path, options)).json();
  const { token } = await call("/sim/operator/login", { method: "POST" });
  const headers = { Authorization: `Bearer ${token}` };
  const { items } = await call(`/ops/api/users?q=${encodeURIComponent(nickname)}`, { headers });
  const body = JSON.stringify({ reason: "stolen" });
  const { ended } = await call(`/ops/api/users/${items[0].id}/sessions`, { method: "DELETE", headers, body });
  assert.equal(ended, 1);
}

before(() => buildApp(folder, ADDRESS));
after(async () => {
  chatNetwork.close();
  await end();
  rmSync(folder, { recursive: true });
});

test("the app has at most 200 KB without the chat's library, and at most 3,000 lines", () => {
  const isOurs = ({ name, parentPath }) => !/@tencentcloud/.test(join(parentPath, name));
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile() && isOurs(file));
  const paths = files.map(({ name, parentPath }) => join(parentPath, name));
  const size = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  const sources = paths.filter((path) => !path.startsWith(packages));
  const lines = sources.reduce((sum, path) => sum + readFileSync(path, "utf8").split("\n").length - 1, 0);
  assert.ok(files.length > 40 && size <= 200_000, `${files.length} files, ${size} bytes`);
  assert.ok(lines > 1000 && lines <= 3000, `${lines} lines`);
});

test("three users complete the evening", async () => {
  const [host, man, woman] = ["hongniang1", "新来的", "秀英"].map((as) => newPhone(as, { picture: PICTURE }));
  await Promise.all([host, man, woman].map((user) => user.launch()));

  // A new user, who has neither face nor name, is shown the own profile.
  await man.fire("main--choose-face", "chooseavatar", { avatarUrl: PICTURE });
  await man.fire("main--area", "change", { code: ["440000", "440300"], value: ["广东省", "深圳市"] });
  await man.sees("广东省 深圳市");
  await man.tap("男");
  await man.submit({ nickname: "阿明", age: "30", height: "178" });
  await man.hears("已保存");
  const face = await man.attribute("main--face-image", "src", /^http.*\.png$/);
  assert.equal((await fetch(face)).status, 200);

  // The user wants to leave for ever, and changes their mind.
  await man.tap("注销账号");
  await man.tap("撤销注销");
  await man.sees("注销账号");

  // The matchmaker opens a room, with name and cover.
  await woman.sees("现在没有人开播");
  await host.tap("开播");
  await host.set({ answer: "周五相亲" });
  await host.tap("更多");
  await host.tap("改名");
  await host.sees("周五相亲");
  await host.tap("换封面");
  await host.hears("已保存");
  await host.attribute("seat--video", "url", /^rtmp:.*txSecret/);
  await host.fire("sheet--mask", "tap");

  await man.open("/pages/me/me", true);
  await man.sees("广东");
  await man.open("/pages/list/list", true);
  await woman.refresh();
  const cover = await woman.attribute("main--live-cover", "src", /^http/);
  assert.equal((await fetch(cover)).status, 200);
  for (const guest of [man, woman]) {
    await guest.set({ isSlow: true });
    await guest.tap("周五相亲");
    await guest.sees("连接中……");
    await guest.set({ isSlow: false });
    await guest.sees("你进入了直播间");
  }

  await woman.fire("main--say", "confirm", { value: "我来了" });
  await host.sees("秀英：我来了"); // not as she is called at IM

  await man.tap("申请上麦");
  await host.sees("阿明 申请上麦");
  await host.tap("排麦");
  await host.tap("邀请");
  await man.sees("hongniang1邀请你上麦");
  await man.tap("接受");
  await man.tap("上麦");
  await woman.sees("阿明 上麦了");

  // Without camera and microphone a guest sits on the seat, but cannot push.
  await woman.set({ permitted: false });
  await woman.tap("申请上麦");
  await host.tap("邀请");
  await host.fire("sheet--mask", "tap");
  await woman.tap("接受");
  await woman.tap("上麦");
  await woman.lacks("own-video--preview");
  await woman.sees("没有摄像头和麦克风权限，不能推流");
  await woman.set({ permitted: true });
  await woman.fire("seat--settings", "opensetting");
  await woman.misses("不能推流");

  // Both on mic, they like one another, and talk by themselves.
  for (const [user, name] of [[man, "秀英"], [woman, "阿明"]]) {
    await user.set({ choices: ["喜欢"] });
    await user.tap(name);
    await user.hears("好了");
  }
  for (const [user, name] of [[man, "秀英"], [woman, "阿明"]]) {
    await user.sees(`你和${name}互相喜欢`);
    await user.tap("聊一聊");
    await user.attribute("main--say", "placeholder", /./);
  }
  await man.fire("main--say", "confirm", { value: "很高兴认识你" });
  await woman.sees("很高兴认识你");
  await Promise.all([man, woman].map((user) => user.back()));

  // The player has given up, and starts again with a new address.
  await man.fire("seat--video", "statechange", { code: 2003 });
  await man.fire("seat--video", "statechange", { code: -2301 });
  await man.sees("视频断开，正在重连");
  await man.fire("seat--video", "statechange", { code: 2003 });

  await woman.fire("main--say", "confirm", { value: "大家晚上好" });
  for (const user of [host, man, woman]) await user.sees("秀英：大家晚上好");

  // The host mutes a user, and everybody; a user reports and blocks another.
  await host.set({ choices: ["禁言 10 分钟", "解除禁言"] });
  await host.tap("秀英：");
  await woman.attribute("main--say", "placeholder", /禁言中 (10:00|\d:\d\d)/);
  await host.sees("禁言中"); // at her seat: from then on she can be unmuted
  await host.tap("秀英：");
  await woman.attribute("main--say", "placeholder", /说点什么/);
  for (const [action, placeholder] of [["全员禁言", /全员禁言/], ["解除全员禁言", /说点什么/]]) {
    await host.tap("更多");
    await host.tap(action);
    await host.fire("sheet--mask", "tap");
    await man.attribute("main--say", "placeholder", placeholder);
    await host.attribute("main--say", "placeholder", /说点什么/);
  }
  await woman.set({ choices: ["举报", "诈骗", "拉黑", "取消拉黑"], answer: "要我转账" });
  for (let n = 1; n <= 3; n++) {
    await woman.fire("seat--who", "tap"); // of the host
    await woman.hears("好了", n + 1);
  }
  await woman.tap("关注");
  await woman.hears("已关注");

  // A name in review is shown to the host alone.
  await host.set({ answer: "review 的房间" });
  await host.tap("更多");
  await host.tap("改名");
  await host.sees("review 的房间 审核中");
  await host.set({ answer: "risky 的房间" });
  await host.tap("改名");
  await host.hears("这个名字或图片不能用");
  await host.fire("sheet--mask", "tap");
  await woman.sees("周五相亲");

  // A gift without gold leads to the recharge.
  await woman.tap("送礼");
  await woman.tap("钻戒");
  await woman.sees("金币不足，还差 520");
  await woman.tap("充值");
  await woman.tap("980 金币");
  await woman.sees("须核实你已满 18 岁");
  await woman.submit({ name: "别人", id_number: "11010119900307002X" });
  await woman.hears("核实未通过");
  await woman.submit({ name: "秀英", id_number: "11010119900307002X" });
  await woman.hears("已核实");
  await woman.back();
  await woman.tap("980 金币");
  await woman.sees("到账，现有 980 金币");
  await woman.back();
  await woman.tap("送礼");
  await woman.tap("钻戒");
  await woman.tap("赠送");
  await host.sees("秀英 → hongniang1 钻戒 ×1"); // before the animation ends
  await woman.hears("已达上限的一半");
  for (const user of [host, man]) await user.sees("秀英 送给 hongniang1 钻戒 ×1");
  await woman.tap("送礼");
  await woman.tap("玫瑰");
  await woman.tap("赠送");
  await woman.hears("礼物已送达", 2);
  await host.sees("秀英 送给 hongniang1 玫瑰 ×1");

  // Events that a user has missed are replayed after a cut, and a chat that has ended is joined again.
  chatNetwork.postMessage({ kicked: "multipleDevice" });
  await man.sees("聊天连接中");
  await man.cut();
  await man.sees("连接断开");
  await host.sees("暂时离开，马上回来");
  await woman.tap("下麦");
  await host.sees("秀英 下麦了");
  await man.restore();
  await man.sees("已恢复，补回");
  await man.sees("秀英 下麦了");
  await host.sees("阿明 回来了");
  await man.fire("main--say", "confirm", { value: "我回来了" });
  await man.sees("：我回来了");

  // A user whose session has ended is signed in again.
  await endSessions("秀英");
  await man.tap("下麦");
  await woman.sees("阿明 下麦了");
  await host.sees("阿明 下麦了");

  await host.tap("观众");
  await host.tap("请出"); // men come first
  await man.sees("你被请出了直播间");
  await host.fire("sheet--mask", "tap");
  await host.tap("观众");
  await host.tap("放行");
  await host.fire("sheet--mask", "tap");

  await host.tap("更多");
  await host.tap("结束直播");
  await woman.sees("直播已结束");
  await woman.tap("看看别的直播");
  await woman.sees("现在没有人开播");
  await woman.cut();
  await woman.open("/pages/room/room?live_id=1");
  await woman.sees("没有网络，进不了直播间");
  await woman.restore();
  await woman.tap("在这里继续");
  await woman.sees("直播已结束");

  await woman.set({ platform: "ios", version: "8.0.67" }); // without virtual payment
  await woman.open("/pages/me/me", true);
  await woman.submit({ nickname: "review 秀英" });
  await woman.sees("审核中");
  await woman.tap("金币余额");
  await woman.sees("请更新微信和 iOS 后充值");
  await woman.set({ version: "8.0.70" });
  await woman.open("/pages/recharge/recharge");
  await woman.sees("980 金币");

  await woman.open("/pages/wallet/wallet");
  await woman.sees("已送 521");
  for (const [title, cap, text] of [["每日上限", "600", "600"], ["每日上限", "700", "起改为 700"], ["单次上限", "555", "555"]]) {
    await woman.set({ answer: cap });
    await woman.tap(title);
    await woman.sees(text);
  }
  await woman.set({ answer: "" }); // changes nothing
  await woman.tap("每日上限");

  await host.open("/pages/wallet/wallet");
  await host.submit({ income: "260" });
  await host.tap("确认收款");
  await host.sees("已到账");
  await host.tap("收益明细");
  await host.sees("提现");
  await host.sees("-260 / ");
  await woman.sees("起改为 700");

  // The host sees what the evening was; who follows her learns that she is live again.
  await host.open("/pages/lives/lives");
  await host.sees("阿明 ♥ 秀英");
  await host.open("/pages/list/list", true);
  await host.set({ choices: ["仅粉丝"] });
  await host.tap("公开 ▾");
  await host.sees("仅粉丝 ▾");
  await host.tap("开播");
  await woman.hears("hongniang1开播了");
  await man.open("/pages/list/list", true);
  await man.sees("现在没有人开播");
  await woman.open("/pages/follows/follows", true);
  await woman.tap("hongniang1");
  await woman.sees("你进入了直播间");
  await woman.open("/pages/follows/follows", true);
  await woman.tap("配对");
  await woman.set({ answer: "" });
  await woman.tap("结束");
  await woman.sees("还没有配对");
  await host.tap("更多");
  await host.tap("结束直播");
});

test("three users meet in a private room, which is made public and private again", async () => {
  const [host, man, woman, other] = ["hongniang2", "志强", "雨桐", "文博"].map((as) => newPhone(as));
  const entered = "你进入了直播间";
  const shared = async () => JSON.parse(await host.recorded("shared"));
  await Promise.all([host, man, woman, other].map((user) => user.launch()));
  await woman.open("/pages/me/me", true);
  await woman.sees("用户编号");
  const [, number] = (await woman.html()).match(/用户编号\D*(\d+)/);

  await host.set({ choices: ["专属房"] });
  await host.tap("公开 ▾");
  await host.sees("专属房 ▾");
  await host.tap("开播");
  await host.sees("专属房内的聊天和视频与其他直播间一样会被审核和留存");
  await other.refresh();
  await other.sees("现在没有人开播");
  const room = await host.shares();
  await other.open(room, true);
  await other.sees("这是专属房，需要邀请");

  // A user of the app, who refuses first.
  await host.tap("更多");
  await host.tap("邀请进房");
  for (const [n, answer] of [[1, "忽略"], [2, "进入"]]) {
    await host.submit({ user_id: number });
    await host.hears("邀请已送达", n);
    await woman.sees("hongniang2 邀请你进入直播间");
    await woman.tap(answer);
    await woman.misses("邀请你进入直播间");
  }
  await woman.sees(entered);

  // A friend at WeChat, with the proof of the private message only.
  await host.tap("微信好友");
  const card = await host.shares("invite--send");
  const [activity_id] = await shared();
  await man.open(card, true);
  await man.sees("邀请已失效");
  await man.set({ entered: { query: { t: card.split("t=")[1] }, shareTicket: activity_id } });
  await man.open(card, true);
  await man.sees(entered);

  // Three are inside. A ticket of a link can be withdrawn.
  await host.tap("链接");
  await host.hears("链接已复制");
  const [link] = await shared();
  const page = `/pages/room/room?${decodeURIComponent(link.split("cq=")[1])}`;
  await other.open(page, true);
  await other.sees("直播间已满");
  await host.tap("小程序码");
  const code = await host.attribute("invite--code", "src", /^http/);
  assert.equal((await fetch(code)).status, 200);
  await host.counts("invite--withdraw", 4); // two are taken, but open to their takers
  await host.fire("sheet--mask", "tap");

  // The man becomes a deputy, who invites as well.
  await man.fire("main--say", "confirm", { value: "只有我们三个" });
  await woman.sees("志强：只有我们三个");
  await host.set({ choices: ["设为房管", "取消房管"] });
  await host.tap("志强：");
  await man.sees("志强 成为房管");
  await man.tap("更多");
  await man.tap("邀请进房");
  await man.tap("链接");
  await man.hears("链接已复制");
  await host.tap("志强：");
  await woman.sees("志强 不再是房管");
  await man.lacks("sheet--panel");

  // Public for a while: what strangers have seen then has ended when it is private again.
  const push = await host.attribute("seat--video", "url", /^rtmp:/);
  const play = await woman.attribute("seat--video", "src", /^rtmp:/);
  await host.set({ choices: ["公开", "专属房"] });
  await host.tap("更多");
  await host.tap("专属房 ▾");
  await woman.misses("审核和留存");
  await other.open(room, true);
  await other.sees(entered);
  await host.tap("公开 ▾");
  for (const user of [host, woman, other]) await user.sees("红娘开启了专属房");
  const isNew = (url) => new RegExp(`^rtmp:(?!${url.split("?")[0].slice(5)}[?])`);
  await host.attribute("seat--video", "url", isNew(push));
  await woman.attribute("seat--video", "src", isNew(play));
  await woman.fire("main--say", "confirm", { value: "又是专属房了" });
  await host.sees("雨桐：又是专属房了");
  await host.tap("结束直播");
  await woman.sees("直播已结束");
});
