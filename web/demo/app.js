// The demo app: one user per window, the current page, and the operations that pages share.

import { createClient } from "/sdk/qlive.js";
import { showToast, toastErrors } from "/demo/shared/toast.js";
import { panel } from "/demo/dev_panel.js";
import { liteChat } from "/demo/lite_chat.js";
import { listPage } from "/demo/livelist.js";
import { phoneNetwork } from "/demo/network.js";
import { ROLES, loginPage, signInAs } from "/demo/login.js";
import { roomPage } from "/demo/room.js";
import { PendingGifts } from "/demo/pending_gifts.js";
import { walletPage } from "/demo/wallet.js";
import { errorText, language, setLanguage, t } from "/demo/i18n.js";

const phone = document.getElementById("phone");
const devPanel = panel(document.getElementById("panel"), () => app);
const network = phoneNetwork((call) => devPanel.addCall(call));
const qlive = createClient({ base: `${location.origin}/wx/api/qlive`, platform: network.platform });

const app = {
  qlive,
  network,
  devPanel,
  me: null,
  page: null,
  pendingGifts: null,
  chat: null,
  stale: false, // the account may have changed since it was read
  refreshing: false,

  show(page) {
    if (app.page?.close) app.page.close();
    app.page = page;
    phone.className = page.kind;
    // Keep the toast: its message is usually the reason for the page change.
    phone.replaceChildren(page.node, ...phone.querySelectorAll(":scope > .toast"));
    app.draw();
    phone.focus();
  },

  draw() {
    document.title = [app.me?.nickname, t("brand")].filter(Boolean).join(" · ");
    app.page.draw();
    devPanel.draw();
  },

  switchLanguage() {
    setLanguage(language() === "zh" ? "en" : "zh");
    app.draw();
    phone.querySelector('[data-key="language"]')?.focus();
  },

  /** Reads the current user's account. */
  async refresh() {
    const userId = qlive.userId;
    const me = await qlive.getUserinfo();
    if (userId === qlive.userId) {
      app.me = me;
      app.draw();
    }
    return me;
  },

  /** Reads the account after changes by others; calls during a request lead to one more request. */
  async refreshWhenIdle() {
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
      app.stale = true; // until the connection is back
    } finally {
      app.refreshing = false;
    }
  },

  /** Called when the room's socket is connected again: retries what failed without a network. */
  onReconnected() {
    app.pendingGifts.retry();
    if (app.stale) app.refreshWhenIdle();
  },

  /** Calls `logIn`, then shows the room of the URL, or the user's current room, or the list. */
  async logInAndEnter(logIn, live_id = 0) {
    await logIn();
    app.me = await qlive.getUserinfo();
    const state = await qlive.getUserState();
    const target = live_id && state.user_type !== 5 ? live_id : state.live_id;
    if (!target || !(await app.tryEnterRoom(target))) app.showList();
    app.pendingGifts.retry();
  },

  showList: () => app.show(listPage(app)),

  showWallet: () => app.show(walletPage(app)),

  async startLive() {
    const { live_id } = await qlive.matchmakerEnter();
    app.show(roomPage(app, live_id));
  },

  async enterRoom(live_id) {
    await qlive.getPlayurl({ live_id });
    app.show(roomPage(app, live_id));
  },

  async tryEnterRoom(live_id) {
    try {
      await app.enterRoom(live_id);
      return true;
    } catch (error) {
      showToast(errorText(error), "bad");
      return false;
    }
  },

  async signOut() {
    await qlive.logout();
    app.showLogin();
  },

  showLogin() {
    app.me = null;
    app.show(loginPage(app));
  },
};

app.pendingGifts = new PendingGifts(app);
app.chat = qlive.chat(liteChat(app));

qlive.on("signedOut", ({ code }) => {
  if (code === "token" && !qlive.token) {
    app.showLogin();
    showToast(t("signed_out"), "bad");
  }
});

toastErrors(errorText);

async function start() {
  setLanguage(language());
  const query = new URLSearchParams(location.search);
  history.replaceState(null, "", "/");
  const role = query.get("as");
  app.show(loginPage(app));
  if (qlive.token) await app.logInAndEnter(async () => {});
  else if (Object.hasOwn(ROLES, role)) {
    await app.logInAndEnter(() => signInAs(app, role), Number(query.get("live")) || 0);
  }
}

start();
