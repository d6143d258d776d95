// One user's phone, in a thread of its own: renders the app's pages and carries out the test's commands.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";

import { scenery } from "./scenery.mjs";
import { wxOf } from "./wx.mjs";

const { folder, as, picture, scene } = workerData;
const inRealTime = globalThis.setTimeout;
const WAIT_MS = 60_000;
const require = createRequire(new URL("../../examples/miniprogram/", import.meta.url));
const appRequire = createRequire(join(folder, "app.js"));

const { window } = require("linkedom").parseHTML("<!doctype html><html><head></head><body></body></html>");
const { document } = window;
const phone = {
  ...{ as, platform: "devtools", version: "8.0.68", picture, answer: "", choices: [], permitted: true, isDown: false, isSlow: false, scene },
  ...{ sockets: new Set(), toasts: [], sets: [], delays: [], shared: [], offered: [], dots: [], entered: { query: {} }, speed: 1, open, replace },
};
Object.assign(globalThis, { window, document, wx: wxOf(phone) });
globalThis.setTimeout = (run, ms, ...args) => {
  phone.delays.push(ms);
  return inRealTime(run, ms / phone.speed, ...args);
};
if (scene) Object.assign(globalThis.wx, scenery(phone));
const simulate = require("miniprogram-simulate");
countSetData();
const exparser = createRequire(require.resolve("j-component"))("miniprogram-exparser");
Object.freeze(globalThis.wx); // as WeChat's

const { pages } = JSON.parse(readFileSync(join(folder, "app.json"), "utf8"));
const app = {};
Object.assign(globalThis, { App: (options) => Object.assign(app, options), getApp: () => app, getCurrentPages: () => stack });
const loaded = new Map();
const stack = [];

/** Shows a page, as wx.navigateTo does; a page of a tab takes the place of all others. */
function open(url, isTab = false) {
  const { pathname, searchParams } = new URL(url, "app://");
  const path = pathname.slice(1);
  if (!loaded.has(path)) {
    loaded.set(path, simulate.load(join(folder, path), { rootPath: folder }));
  }
  while (isTab && stack.length) close();
  const page = simulate.render(loaded.get(path));
  page.path = page.route = path;
  page.home = document.createElement("div");
  stack.push(page);
  page.attach(page.home);
  call("onLoad", Object.fromEntries(searchParams));
  show();
}

/** Shows a page in the place of the one on top, as wx.redirectTo does. */
function replace(url) {
  close();
  open(url);
}

function close() {
  call("onUnload");
  stack.pop().detach();
}

phone.back = () => {
  close();
  show();
};

/** Shows the page on top of the stack. */
function show() {
  document.body.replaceChildren(stack.at(-1).home);
  call("onShow");
}

function call(name, ...args) {
  const { instance } = stack.at(-1);
  if (instance[name]) return instance[name](...args);
}

/** Records what each page and component passes to setData, in `phone.sets`. */
function countSetData() {
  const define = globalThis.Component;
  globalThis.Component = ({ lifetimes, ...options }) => {
    const created = function () {
      const { setData } = this;
      this.setData = (data, then) => {
        phone.sets.push(JSON.stringify(data));
        return setData.call(this, data, then);
      };
    };
    return define({ ...options, lifetimes: { ...lifetimes, created } });
  };
}

/** The innermost element with this text. */
function findText(text) {
  const hasText = ({ textContent }) => textContent.trim() === text;
  return [...document.querySelectorAll("*")].filter(hasText).find((node) => ![...node.children].some(hasText));
}

const find = (name) => document.querySelector(`[class~="${name}"]`);

function dispatch(node, type, detail = {}) {
  const options = { bubbles: true, composed: true, capturePhase: true };
  exparser.Event.dispatchEvent(node.__wxElement, exparser.Event.create(type, detail, options));
}

/**
 * The page on top as HTML that Chromium shows: with the styles of the app, of the page and of its components.
 *
 * A component's classes have its name as prefix; one of the app is its own class as well.
 */
function html() {
  const ofPage = /(^|[\s}])page\s*\{[^}]*\}/g; // compiled away by the simulator
  const styles = document.getElementById(loaded.get(stack.at(-1).path)).textContent.replace(ofPage, "$1");
  const read = (path) => (existsSync(join(folder, path)) ? readFileSync(join(folder, path), "utf8") : "");
  const app = read("app.wxss").replace(/@import "(.*)";/g, (_, path) => read(path));
  const page = (read(`${stack.at(-1).path}.wxss`).match(ofPage) || []).join("");
  for (const node of document.querySelectorAll("*")) {
    for (const { name, value } of (node.__wxElement && node.__wxElement._vt && node.__wxElement._vt.attrs) || []) {
      if (node.localName === "wx-image" && name === "src") node.setAttribute("style", `background: url('${value}') center / cover`);
      else if (["aria-label", "placeholder", "value", "style", "role", "type"].includes(name)) node.setAttribute(name, value);
    }
  }
  const body = document.body.innerHTML.replace(/class="([^"]*)"/g, (_, names) => {
    const own = names.split(" ").map((name) => name.replace(/^.*?--(?!t-)/, ""));
    return `class="${names} ${own.join(" ")}"`;
  });
  return `<style>${[app, page, styles].join("\n").replace(/(^|[\s,}])page(?=[\s,{])/g, "$1body")}</style>${body}`;
}

async function until(what, condition) {
  const deadline = Date.now() + WAIT_MS;
  for (let found; ; await new Promise((resolve) => inRealTime(resolve, 10))) {
    if ((found = condition())) return found;
    if (Date.now() > deadline) throw new Error(`${as}: no ${what} in\n${document.body.innerHTML}\n${phone.toasts}`);
  }
}

/** What a test can do; elements are named as in the page, `component--class`. */
const commands = {
  launch() {
    appRequire("./app.js");
    app.onLaunch();
    open(`/${pages[0]}`, true);
  },

  open,
  back: () => phone.back(),
  refresh: () => call("onPullDownRefresh"),

  tap: async (text) => dispatch(await until(text, () => findText(text)), "tap"),
  async fire(name, type, detail) {
    dispatch(await until(name, () => find(name)), type, detail);
  },
  /** Submits the page's form with these values of its fields. */
  async submit(values) {
    dispatch(await until("form", () => document.querySelector("wx-form")), "submit", { value: values });
  },

  sees: (text) => until(text, () => document.body.textContent.includes(text)),
  counts: (name, n) => until(`${n} ${name}`, () => document.querySelectorAll(`[class~="${name}"]`).length === n),
  lacks: (name) => until(`end of ${name}`, () => !find(name)),
  misses: (text) => until(`end of ${text}`, () => !document.body.textContent.includes(text)),
  hears: (text, times = 1) => until(`toast ${text}`, () => phone.toasts.filter((toast) => toast.includes(text)).length >= times),
  /** The value of a native component's attribute, such as `src`, once it matches. */
  attribute(name, attribute, pattern) {
    const value = (node) => node.__wxElement._vt.attrs.find((attr) => attr.name === attribute)?.value || "";
    return until(`${name} ${attribute} ${pattern}`, () => {
      const node = find(name);
      return node && pattern.test(value(node)) && value(node);
    });
  },

  async fireAll(name, type, detail) {
    document.querySelectorAll(`[class~="${name}"]`).forEach((node) => dispatch(node, type, detail));
  },
  /** The path of the card that a tap on the share button with this name, or WeChat's menu, would share. */
  async shares(name) {
    const dataset = name ? (await until(name, () => find(name))).dataset : {};
    return call("onShareAppMessage", name ? { from: "button", target: { dataset } } : { from: "menu" }).path;
  },
  /** Frames of the scene's server, such as gifts. */
  frames: () => phone.frames(),
  bye: (code) => phone.bye(code),
  frame: (type, data) => phone.frame(type, data),
  news: (type, data) => phone.news(type, data),
  asks: (path) => until(`request of ${path}`, () => phone.paths.includes(path)),
  /** Waits until every request has been answered and shown. */
  settle: () => until("end of the requests", () => !phone.requests),
  /** What the phone has recorded under a name since the last time, as JSON. */
  recorded(name) {
    const records = phone[name];
    phone[name] = [];
    return JSON.stringify(records);
  },
  html,
  set: (changes) => void Object.assign(phone, changes),
  cut() {
    phone.isDown = true;
    phone.sockets.forEach((socket) => socket.terminate());
  },
  restore() {
    phone.isDown = false;
    phone.wake();
  },
};

parentPort.on("message", async ({ id, command, args }) => {
  try {
    const value = await commands[command](...args);
    parentPort.postMessage({ id, value: typeof value === "string" ? value : null });
  } catch (error) {
    parentPort.postMessage({ id, error: error.stack || JSON.stringify(error) });
  }
});
