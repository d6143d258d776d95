// Who is live now; a matchmaker opens her own room from here.

import { bar } from "/demo/bar.js";
import { button, el, fill, picture, problem, refill, say } from "/demo/dom.js";
import { nextPeople } from "/demo/people.js";
import { t } from "/demo/words.js";

const AGAIN_MS = 3000;

export function listPage(app) {
  const node = el("div", { class: "list" });
  const head = el("div", {});
  const own = el("section", { class: "own" });
  const rooms = el("section", { class: "rooms", "aria-live": "polite" });
  const foot = el("footer", { class: "list-foot" });
  node.append(head, own, rooms, foot);
  let live = null;
  let looking = null;

  async function look() {
    looking = null;
    try {
      live = await app.qlive.getLivelist({ page: 1 });
      if (!node.isConnected) return; // this person has gone somewhere else meanwhile
      draw();
    } catch (error) {
      if (error.name !== "Unreachable") say(problem(error), "bad");
    }
    if (node.isConnected) looking = setTimeout(look, AGAIN_MS);
  }

  function draw() {
    const { me } = app;
    refill(head, [me.gold, me.income], () => bar(app, signOut(app), el("h1", {}, t("live_now"))));
    refill(own, [me], () => welcome(app));
    refill(rooms, live, () => cards(app, live));
    refill(foot, [], () => [el("h2", {}, t("next_people")), nextPeople(null)]);
  }

  return {
    kind: "light",
    node,
    draw() {
      draw();
      if (looking === null && live === null) look();
    },
    close: () => clearTimeout(looking),
  };
}

const signOut = (app) =>
  button("‹", () => app.signOut(), { kind: "round", key: "out", label: t("sign_out") });

function welcome(app) {
  const { me } = app;
  const word = me.is_matchmaker ? "you_may_open" : me.gender ? "you_may_watch" : "you_have_no_gender";
  return [
    picture(me.face_url, me.nickname, "face large"),
    el("div", {}, el("b", {}, me.nickname || t("nameless")), el("p", {}, t(word))),
    me.is_matchmaker && button(t("open_room"), () => app.openRoom(), { kind: "main", key: "open" }),
  ];
}

function cards(app, live) {
  if (live === null) return el("p", { class: "empty" }, t("looking"));
  if (!live.length) return el("p", { class: "empty" }, t("nobody_live"));
  return el("ul", {}, live.map((room) => el("li", {}, card(app, room))));
}

function card(app, room) {
  const { boy, girl } = room.player;
  const seat = (face, word) =>
    face ? picture(face, "", "face small") : el("span", { class: "face small vacant", title: t(word) });
  const node = button("", () => app.enter(room.id), {
    kind: "room-card",
    key: String(room.id),
    label: t("enter_room", { name: room.room_name, n: room.audience_count }),
  });
  return fill(
    node,
    picture(room.room_image, room.room_name, "cover"),
    el("span", { class: "room-card-live" }, t("on_air")),
    el("b", {}, room.room_name),
    el("span", { class: "room-card-foot" }, seat(boy, "seat.male"), seat(girl, "seat.female"), el("span", {}, t("people_in", { n: room.audience_count }))),
  );
}
