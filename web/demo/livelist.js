// The list of live rooms; a matchmaker starts a live from here.

import { bar } from "/demo/bar.js";
import { picture, renderIfChanged } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { newWindowLinks } from "/demo/login.js";
import { openProfile, own, reviewTag } from "/demo/profile.js";
import { t } from "/demo/i18n.js";

const REFRESH_MS = 3000;

export function listPage(app) {
  const node = el("div", { class: "list" });
  const head = el("div", {});
  const welcomeCard = el("section", { class: "account" });
  const rooms = el("section", { class: "rooms", "aria-live": "polite" });
  const foot = el("footer", { class: "list-foot" });
  node.append(head, welcomeCard, rooms, foot);
  let live = null;
  let timer = null;

  async function load() {
    timer = null;
    try {
      live = await app.qlive.getLivelist({ page: 1 });
      if (!node.isConnected) return; // the page was left meanwhile
      draw();
      if (Object.keys(app.me.in_review).length) app.refreshWhenIdle();
    } catch (error) {
      if (error.name !== "Unreachable") throw error;
    } finally {
      if (node.isConnected) timer = setTimeout(load, REFRESH_MS);
    }
  }

  function draw() {
    const { me } = app;
    renderIfChanged(head, [me.gold, me.income], () => bar(app, signOut(app), el("h1", {}, t("live_now"))));
    renderIfChanged(welcomeCard, [me], () => welcome(app));
    renderIfChanged(rooms, live, () => cards(app, live));
    renderIfChanged(foot, [], () => [el("h2", {}, t("other_users")), newWindowLinks(null)]);
  }

  return {
    kind: "light",
    node,
    draw() {
      draw();
      if (timer === null && live === null) load();
    },
    close: () => clearTimeout(timer),
  };
}

const signOut = (app) =>
  button("‹", () => app.signOut(), { kind: "round", key: "out", label: t("sign_out") });

function welcome(app) {
  const { me } = app;
  const key = me.is_matchmaker ? "you_may_open" : me.gender ? "you_may_watch" : "you_have_no_gender";
  return [
    picture(own(me, "face_url", me.face_url), me.nickname, "face large"),
    el("div", {}, el("b", {}, own(me, "nickname", me.nickname) || t("nameless"), reviewTag(me, "nickname")), el("p", {}, t(key))),
    me.is_matchmaker && button(t("open_room"), () => app.startLive(), { kind: "main", key: "open" }),
    el(
      "div",
      { class: "account-actions" },
      button(t("profile"), () => openProfile(app), { kind: "quiet", key: "profile" }),
      button(t("wallet.open"), () => app.showWallet(), { kind: "quiet wallet-open", key: "wallet" }),
    ),
  ];
}

function cards(app, live) {
  if (live === null) return el("p", { class: "empty" }, t("loading"));
  if (!live.length) return el("p", { class: "empty" }, t("nobody_live"));
  return el("ul", {}, live.map((room) => el("li", {}, card(app, room))));
}

function card(app, room) {
  const { boy, girl } = room.player;
  const seatPicture = (face, key) =>
    face ? picture(face, "", "face small") : el("span", { class: "face small vacant", title: t(key) });
  const node = button("", () => app.enterRoom(room.id), {
    kind: "room-card",
    key: String(room.id),
    label: t("enter_room", { name: room.room_name, n: room.audience_count }),
  });
  return fill(
    node,
    picture(room.room_image, room.room_name, "cover"),
    el("span", { class: "room-card-live" }, t("on_air")),
    el("b", {}, room.room_name),
    el("span", { class: "room-card-foot" }, seatPicture(boy, "seat.male"), seatPicture(girl, "seat.female"), el("span", {}, t("people_in", { n: room.audience_count }))),
  );
}
