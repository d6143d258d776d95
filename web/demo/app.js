// The demo app: one user per window, the current page, and the operations that pages share.

import { createClient } from "/sdk/qlive.js";
import { showToast, toastErrors } from "/demo/shared/toast.js";
import { panel } from "/demo/dev_panel.js";
import { announce } from "/demo/follows.js";
import { RoomInvitations } from "/demo/invitations.js";
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
const channel = qlive.channel();

const app = {
  qlive,
  network,
  devPanel,
  ticket: "", // of the URL, to enter with after the login
  me: null,
  page: null,
  pendingGifts: null,
  chat: null,
  invitations: null,

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
    app.invitations.draw();
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

  /** Calls `logIn`, then shows the room of the URL, or the user's current room, or the list. */
  async logInAndEnter(logIn, live_id = 0) {
    await logIn();
    app.me = await qlive.getUserinfo();
    channel.open();
    const state = await qlive.getUserState();
    const target = live_id && state.user_type !== 5 ? live_id : state.live_id;
    const { ticket } = app;
    app.ticket = "";
    const isInside = (ticket && (await app.tryEnter({ ticket }))) || (target && (await app.tryEnter({ live_id: target })));
    if (!isInside) app.showList();
    app.pendingGifts.retry();
  },

  showList: () => app.show(listPage(app)),

  showWallet: () => app.show(walletPage(app)),

  async startLive() {
    const { live_id } = await qlive.matchmakerEnter();
    app.show(roomPage(app, live_id));
  },

  /** Enters the room with this live_id, or that of a ticket. */
  async enterRoom({ live_id, ticket }) {
    const entered = await (ticket ? qlive.enterWithTicket(ticket) : qlive.getPlayurl({ live_id }));
    app.show(roomPage(app, entered.live_id));
  },

  async tryEnter(params) {
    try {
      await app.enterRoom(params);
      return true;
    } catch (error) {
      showToast(errorText(error), "bad");
      return false;
    }
  },

  async signOut() {
    channel.close(); // the logout ends it on the server, maybe before its answer is here
    await qlive.logout().catch((error) => {
      channel.open();
      throw error;
    });
    app.showLogin();
  },

  showLogin() {
    app.me = null;
    app.show(loginPage(app));
  },
};

app.pendingGifts = new PendingGifts(app);
app.chat = qlive.chat(liteChat(app));
app.invitations = new RoomInvitations(app);

channel.on("frame", (frame) => {
  // A heartbeat with `own_seq` is that of the room, whose frames the page of the room adds.
  if (frame.own_seq === undefined) devPanel.addFrame(frame, true);
});
channel.on("state", ({ gold, income }) => {
  Object.assign(app.me, { gold, income });
  app.draw();
});
announce(app);
channel.on("checked", () => app.refresh());

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
  app.ticket = query.get("t") ?? "";
  app.show(loginPage(app));
  if (qlive.token) await app.logInAndEnter(async () => {});
  else if (Object.hasOwn(ROLES, role)) {
    await app.logInAndEnter(() => signInAs(app, role), Number(query.get("live")) || 0);
  }
}

start();
