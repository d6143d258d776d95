// The list of live rooms; a matchmaker starts a live from here.

import { bar } from "/demo/bar.js";
import { picture, renderIfChanged } from "/demo/dom.js";
import { button, checkbox, el, fill } from "/demo/shared/dom.js";
import { openFollows } from "/demo/follows.js";
import { newWindowLinks } from "/demo/login.js";
import { openProfile, own, reviewTag } from "/demo/profile.js";
import { t } from "/demo/i18n.js";

const REFRESH_MS = 3000;
const SEATS = ["", "male", "female"];

export function listPage(app) {
  const node = el("div", { class: "list" });
  const head = el("div", {});
  const welcomeCard = el("section", { class: "account" });
  const rooms = el("section", { class: "rooms", "aria-live": "polite" });
  const foot = el("footer", { class: "list-foot" });
  const invitations = el("section", { class: "invitations" });
  const filters = el("div", { class: "filters" });
  node.append(head, welcomeCard, invitations, filters, rooms, foot);
  let filter = {}; // parameters of the list
  let live = null;
  let timer = null;
  let loads = 0;

  async function load() {
    clearTimeout(timer);
    const number = ++loads;
    try {
      const found = await app.qlive.getLivelist({ page: 1, ...filter });
      if (!node.isConnected || number !== loads) return; // the page was left, or the filter has changed
      live = found;
      draw();
    } catch (error) {
      if (error.name !== "Unreachable") throw error;
    } finally {
      if (node.isConnected && number === loads) timer = setTimeout(load, REFRESH_MS);
    }
  }

  function setFilter(change) {
    filter = { ...filter, ...change };
    load();
  }

  function filterFields() {
    const option = (seat) => el("option", { value: seat, selected: seat === (filter.free ?? "") }, t(`free.${seat || "any"}`));
    const onSeat = ({ target }) => setFilter({ free: target.value || undefined });
    const onArea = ({ target }) => setFilter({ area: target.checked ? app.me.area : undefined });
    return [
      el("select", { "aria-label": t("free"), onchange: onSeat, "data-key": "free" }, SEATS.map(option)),
      app.me.area && checkbox(t("same_area"), { checked: Boolean(filter.area), onchange: onArea, "data-key": "area" }),
    ];
  }

  function draw() {
    const { me } = app;
    renderIfChanged(head, [me.gold, me.income], () => bar(app, signOut(app), el("h1", {}, t("live_now"))));
    renderIfChanged(welcomeCard, [me], () => welcome(app));
    renderIfChanged(invitations, app.invitations.open, () => app.invitations.buttons());
    renderIfChanged(filters, [me.area], filterFields);
    renderIfChanged(rooms, [live, filter], () => cards(app, live, filter));
    renderIfChanged(foot, [], () => [el("h2", {}, t("other_users")), newWindowLinks(null)]);
  }

  return {
    kind: "light",
    node,
    draw() {
      draw();
      if (!loads) load();
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
      button(t("follows"), () => openFollows(app), { kind: "quiet", key: "follows" }),
      button(t("wallet.open"), () => app.showWallet(), { kind: "quiet wallet-open", key: "wallet" }),
    ),
  ];
}

function cards(app, live, filter) {
  if (live === null) return el("p", { class: "empty" }, t("loading"));
  if (!live.length) return el("p", { class: "empty" }, t(filter.free || filter.area ? "no_match" : "nobody_live"));
  return el("ul", {}, live.map((room) => el("li", {}, card(app, room))));
}

function card(app, room) {
  const { boy, girl } = room.player;
  const seatPicture = (face, key) =>
    face ? picture(face, "", "face small") : el("span", { class: "face small vacant", title: t(key) });
  const node = button("", () => app.enterRoom({ live_id: room.id }), {
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
