// One window is one person: who it is, which page it shows, and what every page may ask for.

import { createClient } from "/sdk/qlive.js";
import { problem, say } from "/demo/dom.js";
import { panel } from "/demo/frames.js";
import { listPage } from "/demo/livelist.js";
import { phoneNetwork } from "/demo/network.js";
import { ROLES, doorPage, signInAs } from "/demo/people.js";
import { roomPage } from "/demo/room.js";
import { Unanswered } from "/demo/unanswered.js";
import { language, speak, t } from "/demo/words.js";

const phone = document.getElementById("phone");
const frames = panel(document.getElementById("panel"), () => app);
const network = phoneNetwork((call) => frames.noteCall(call));
const qlive = createClient({ base: `${location.origin}/wx/api/qlive`, platform: network.platform });

const app = {
  qlive,
  network,
  frames,
  me: null,
  page: null,
  unanswered: null,
  stale: false, // somebody else has changed one's account since it was read
  refreshing: false,

  show(page) {
    if (app.page?.close) app.page.close();
    app.page = page;
    phone.className = page.kind;
    // What has just been said is mostly why another page is shown: it stays.
    phone.replaceChildren(page.node, ...phone.querySelectorAll(":scope > #said"));
    app.draw();
    phone.focus();
  },

  draw() {
    document.title = [app.me?.nickname, t("brand")].filter(Boolean).join(" · ");
    app.page.draw();
    frames.draw();
  },

  speakOther() {
    speak(language() === "zh" ? "en" : "zh");
    app.draw();
    phone.querySelector('[data-key="language"]')?.focus();
  },

  /** One's own account, as the server has it now. */
  async refresh() {
    const who = qlive.userId;
    const me = await qlive.getUserinfo();
    if (who === qlive.userId) {
      app.me = me;
      app.draw();
    }
    return me;
  },

  /** The same for news that others make: one asking at a time, and one for all that came meanwhile. */
  async refreshSoon() {
    app.stale = true;
    if (app.refreshing) return;
    app.refreshing = true;
    try {
      while (app.stale) {
        app.stale = false;
        await app.refresh();
      }
    } catch (error) {
      if (error.name !== "Unreachable" && error.name !== "Refused") throw error;
      app.stale = true; // until there is a network again
    } finally {
      app.refreshing = false;
    }
  },

  /** The room's socket is there again, and so is the network: what was left open is asked for. */
  comeBack() {
    app.unanswered.ask();
    if (app.stale) app.refreshSoon();
  },

  /** After `logIn`, into the room of the address, or where one still is, or to the list. */
  async comeIn(logIn, live_id = 0) {
    await logIn();
    app.me = await qlive.getUserinfo();
    const state = await qlive.getUserState();
    const where = live_id && state.user_type !== 5 ? live_id : state.live_id;
    if (!where || !(await app.tryRoom(where))) app.home();
    app.unanswered.ask();
  },

  home: () => app.show(listPage(app)),

  async openRoom() {
    const { live_id } = await qlive.matchmakerEnter();
    app.show(roomPage(app, live_id));
  },

  async enter(live_id) {
    await qlive.getPlayurl({ live_id });
    app.show(roomPage(app, live_id));
  },

  async tryRoom(live_id) {
    try {
      await app.enter(live_id);
      return true;
    } catch (error) {
      say(problem(error), "bad");
      return false;
    }
  },

  async signOut() {
    await qlive.logout();
    app.toTheDoor();
  },

  toTheDoor() {
    app.me = null;
    app.show(doorPage(app));
  },
};

app.unanswered = new Unanswered(app);

qlive.on("signedOut", ({ code }) => {
  if (code === "token" && !qlive.token) {
    app.toTheDoor();
    say(t("signed_out"), "bad");
  }
});

async function start() {
  speak(language());
  const asked = new URLSearchParams(location.search);
  history.replaceState(null, "", "/");
  const role = asked.get("as");
  app.show(doorPage(app));
  try {
    if (qlive.token) await app.comeIn(async () => {});
    else if (Object.hasOwn(ROLES, role)) {
      await app.comeIn(() => signInAs(app, role), Number(asked.get("live")) || 0);
    }
  } catch (error) {
    say(problem(error), "bad");
  }
}

start();
