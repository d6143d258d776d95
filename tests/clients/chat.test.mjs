// Chat with a small stand-in for lite-chat, which has the methods and events that its types declare.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice, flushPromises, settle } from "./fakes.mjs";
import { event, snapshot } from "./frames.mjs";

const SESSION = { token: "t", user_id: "10000000", sdk_app_id: "1400000000" };

class FakeLiteChat {
  EVENT = { SDK_READY: "sdkStateReady", MESSAGE_RECEIVED: "onMessageReceived", KICKED_OUT: "kickedOut" };
  TYPES = { CONV_C2C: "C2C", CONV_GROUP: "GROUP", GRP_AVCHATROOM: "AVChatRoom", MSG_TEXT: "TIMTextElem" };
  calls = [];
  history = [];
  listeners = {};
  ready = false;
  failing = "";
  code = 0;

  create({ SDKAppID }) {
    this.calls.push(["create", SDKAppID]);
    const answer = (name, ...params) => {
      this.calls.push([name, ...params]);
      // At once, as lite-chat does.
      if (this.failing === name) throw Object.assign(new Error(`${name} failed`), { code: this.code });
      return Promise.resolve();
    };
    this.instance ??= {
      isReady: () => this.ready,
      on: (name, listener) => (this.listeners[name] ??= []).push(listener),
      login: ({ userID, userSig }) => answer("login", userID, userSig),
      logout: () => answer("logout"),
      joinGroup: ({ groupID, type }) => {
        if (this.history.length) this.emit("onMessageReceived", this.history); // before the answer, as lite-chat does
        return answer("join", groupID, type);
      },
      getMessageList: ({ conversationID }) => answer("list", conversationID).then(() => ({ data: { messageList: this.history } })),
      quitGroup: (group) => answer("quit", group),
      createTextMessage: ({ to, conversationType, payload }) =>
        ({ ...text(to, payload.text), conversationType, from: SESSION.user_id }),
      sendMessage: ({ to, conversationType, payload }) => answer("send", conversationType, to, payload.text),
    };
    return this.instance;
  }

  emit(name, data) {
    for (const listener of this.listeners[name]) listener({ data });
  }

  become(ready) {
    this.ready = ready;
    if (ready) this.emit("sdkStateReady");
  }
}

const text = (to, words, type = "TIMTextElem") => ({
  ...{ type, to, from: "20000000", nick: "Anna", avatar: "a.png", time: 7, payload: { text: words } },
});

function newChat({ ready = true } = {}) {
  const device = new FakeDevice({ stored: new Map([["qlive.session", JSON.stringify(SESSION)]]) });
  const client = createClient({ base: "https://example.com/wx/api/qlive", platform: device.platform });
  const im = Object.assign(new FakeLiteChat(), { ready });
  const chat = client.chat(im);
  const events = [];
  // The name and the face that a user has set at IM are not passed on.
  chat.on("message", ({ from, text, at, ...more }) => events.push([from, text, at, ...Object.keys(more)]));
  chat.on("connection", ({ joined, error }) => events.push([joined, error && error.message]));
  const room = client.room(1);
  room.open();
  const info = { status: 200, json: { user_id: SESSION.user_id, user_sig: "sig" } };
  device.responses.push(info, info, info);
  return { device, client, im, chat, events, room };
}

/** A chat that is in the group of its room. */
async function newJoinedChat() {
  const all = newChat();
  all.device.socket.receive(snapshot(7, { group_id: "g1" }));
  await all.chat.join(all.room);
  return all;
}

test("the chat joins the room's group when both the room and IM are ready", async () => {
  const { device, im, chat, events, room } = newChat({ ready: false });
  const joining = settle(chat.join(room).then(() => "joined"));
  await flushPromises();
  assert.deepEqual(im.calls, []);
  device.socket.receive(snapshot(7, { group_id: "g1" }));
  await flushPromises();
  assert.deepEqual(im.calls, [["create", 1400000000], ["login", SESSION.user_id, "sig"]]);
  await assert.rejects(chat.send("too early"), /no group/);
  im.become(true);
  await flushPromises();
  assert.deepEqual([joining.answer, im.calls.at(-1)], ["joined", ["join", "g1", "AVChatRoom"]]);
  assert.deepEqual(events, [[true, null]]);
});

test("texts of the group are received, and one's own when they are sent", async () => {
  const { im, chat, events } = await newJoinedChat();
  im.emit("onMessageReceived", [
    ...[text("g1", "hello"), text("g2", "elsewhere"), text("10000000", "private")],
    text("g1", "", "TIMCustomElem"),
  ]);
  await chat.send("hi");
  assert.deepEqual(im.calls.at(-1), ["send", "GROUP", "g1", "hi"]);
  assert.deepEqual(events.slice(1), [["20000000", "hello", 7000], ["10000000", "hi", 7000]]);
  im.failing = "send";
  for (const [code, error] of [
    [6014, { name: "Error", code: 6014 }],
    [10017, { name: "Refused", code: "muted" }],
    [10102, { name: "Refused", code: "muted_all" }],
    [10105, { name: "Refused", code: "words" }],
  ]) {
    im.code = code;
    await assert.rejects(chat.send("not sent"), { message: "send failed", ...error });
  }
  assert.equal(events.length, 3);
});

test("a newcomer receives the latest lines as old ones, and no control message in any form", async () => {
  const { device, im, chat, events, room } = newChat();
  const control = (type) => text("g1", JSON.stringify({ type, content: "" }));
  im.history = [text("g1", "before"), ...["gift", "over", "reset"].map(control), text("g1", "{}"), text("g1", "null")];
  device.socket.receive(snapshot(7, { group_id: "g1" }));
  const old = [];
  chat.on("message", (message) => message.old && old.push(message.text));
  await chat.join(room);
  im.emit("onMessageReceived", [text("g1", "now"), control("gift")]);
  assert.deepEqual(old, ["before", "{}", "null"]);
  assert.deepEqual(events.map(([, words]) => words), ["before", "{}", "null", null, "now"]);
});

test("two users talk outside a room, without the server's messages, and a room's chat goes on beside", async () => {
  const { device, im, chat, room, events } = newChat();
  const received = [];
  const c2c = (words) => ({ ...text(SESSION.user_id, words), conversationType: "C2C" });
  chat.on("private", ({ from, text }) => received.push([from, text]));
  im.failing = "login";
  await assert.rejects(chat.talkTo("20000000"), /login failed/);
  im.failing = "";
  im.history = [c2c("hello"), c2c('{"type": "kickout", "content": {}}')];
  const lines = await chat.talkTo("20000000");
  assert.deepEqual(lines, [{ from: "20000000", text: "hello", at: 7000 }]);
  assert.deepEqual(im.calls.at(-1), ["list", "C2C20000000"]);
  assert.equal((await chat.sendTo("20000000", "hi")).from, SESSION.user_id);
  assert.deepEqual(im.calls.at(-1), ["send", "C2C", "20000000", "hi"]);
  im.history = [];
  device.socket.receive(snapshot(7, { group_id: "g1" }));
  assert.equal(chat.joined, false);
  await chat.join(room);
  assert.equal(chat.joined, true);
  im.emit("onMessageReceived", [c2c("again"), text("g1", "all"), c2c('{"type": "num", "content": {}}')]);
  assert.deepEqual([received, events.at(-1)[1]], [[["20000000", "again"]], "all"]);
  Object.assign(im, { failing: "send", code: 10103 });
  await assert.rejects(chat.sendTo("20000000", "no"), { code: "blocked" });
});

test("a group that replaces the room's is joined, and texts of the previous one are ignored", async () => {
  const { device, im, events, chat } = await newJoinedChat();
  device.socket.receive(event(8, "group", { group_id: "g2" }));
  await assert.rejects(chat.send("between two groups"), /no group/);
  await flushPromises();
  assert.deepEqual(im.calls.slice(-1), [["join", "g2", "AVChatRoom"]]);
  assert.equal(im.calls.filter(([name]) => name === "login").length, 1);
  im.emit("onMessageReceived", [text("g1", "late"), text("g2", "here")]);
  assert.deepEqual(events.slice(1), [[true, null], ["20000000", "here", 7000]]);
});

test("leaving logs out, and the chat may join again", async () => {
  const { device, im, chat, room, events } = await newJoinedChat();
  im.failing = "quit"; // the live has ended, and its group with it
  await chat.leave();
  assert.deepEqual(im.calls.slice(-2), [["quit", "g1"], ["logout"]]);
  device.socket.receive(event(8, "group", { group_id: "g2" }));
  im.emit("onMessageReceived", [text("g1", "late")]);
  im.emit("kickedOut", { type: "multipleDevice" });
  await flushPromises();
  assert.deepEqual([events, im.calls.length], [[[true, null]], 5]);
  await chat.join(room);
  assert.deepEqual(im.calls.at(-1), ["join", "g2", "AVChatRoom"]);
  assert.equal(im.listeners.onMessageReceived.length, 1);
});

test("a room that is joined while the one before is being left is joined after the logout", async () => {
  const { im, chat, room } = await newJoinedChat();
  let endQuit;
  im.instance.quitGroup = () => new Promise((resolve) => (endQuit = resolve));
  chat.leave();
  const joining = chat.join(room);
  await flushPromises();
  assert.equal(im.calls.length, 3, "no login before the logout");
  endQuit();
  await joining;
  const names = im.calls.map(([name]) => name).slice(3);
  assert.deepEqual(names, ["logout", "create", "login", "join"]);
});

test("a user who leaves while logging in is logged out and joins no group", async () => {
  const { device, im, chat, room, events } = newChat({ ready: false });
  device.socket.receive(snapshot(7, { group_id: "g1" }));
  const joining = settle(chat.join(room).then(() => "over"));
  await flushPromises();
  const leaving = chat.leave();
  im.become(true);
  await leaving;
  assert.deepEqual([im.calls.slice(2).map(([name]) => name), events], [["quit", "logout"], []]);
  assert.equal(joining.answer, "over");
});

test("a failure is reported, and joining again mends it", async () => {
  for (const failing of ["login", "join"]) {
    const { device, im, chat, room, events } = newChat();
    device.socket.receive(snapshot(7, { group_id: "g1" }));
    im.failing = failing;
    await assert.rejects(chat.join(room), new RegExp(failing));
    device.socket.receive(event(8, "live_pause", {}));
    await flushPromises();
    assert.deepEqual(events, [[false, `${failing} failed`]], "nothing is tried again by itself");
    im.failing = "";
    await chat.join(room);
    assert.deepEqual(events.at(-1), [true, null]);
  }
});

test("another device, an operator or an old user_sig ends the chat until it joins again", async () => {
  const { im, chat, room, events } = await newJoinedChat();
  im.emit("kickedOut", { type: "multipleDevice" });
  assert.deepEqual(events.at(-1), [false, "kicked out of IM: multipleDevice"]);
  await assert.rejects(chat.send("out"), /no group/);
  await chat.join(room);
  assert.equal(im.calls.filter(([name]) => name === "login").length, 2);
});
