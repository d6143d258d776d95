// The dialog of users whom the user follows or is matched with, and what is announced about them.

import { openDialog, picture, tabRow } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { t } from "/demo/i18n.js";

/** Announces a live of a followed user with a button that enters it, and each match. */
export function announce(app) {
  const channel = app.qlive.channel();
  channel.on("live_started", ({ host, live_id }) => {
    const enter = button(t("follows.enter"), () => app.enterRoom({ live_id }), { kind: "small" });
    showToast(t("follows.started", { name: host.nickname }), "good", enter);
  });
  channel.on("match", ({ user }) => showToast(t("match.made", { name: user.nickname || t("nameless") })));
}

export async function openFollows(app) {
  const { qlive } = app;
  const list = el("ul", {});
  const titles = { follows: t("follows.follows"), matches: t("follows.matches") };
  const tabs = tabRow(t("follows"), titles, show);
  const more = el("div", { class: "older" });

  async function show(name, isShown, page = 1) {
    const people = await qlive[name]({ page });
    const next = people.length ? await qlive[name]({ page: page + 1 }) : [];
    if (!isShown()) return;
    if (page === 1) fill(list);
    list.append(...people.map((person) => row(name, person)));
    if (!list.children.length) fill(list, el("li", { class: "empty" }, t(`${name}.none`)));
    fill(more, next.length > 0 && button(t("follows.more"), () => show(name, isShown, page + 1), { key: "more" }));
  }

  function row(name, { user_id, nickname, face_url, live_id, at }) {
    const shown = nickname || t("nameless");
    const end = async () => {
      await (name === "matches" ? qlive.endMatch({ user_id }) : qlive.follow({ user_id, on: false }));
      item.remove();
      showToast(t("done"));
    };
    const isLive = name === "follows" && live_id !== null;
    const enter = async () => {
      await app.enterRoom({ live_id });
      dialog.close();
    };
    const item = el(
      "li",
      {},
      picture(face_url, shown, "face small"),
      el("span", { class: "name" }, shown, at && el("small", {}, at.slice(0, 10)), isLive && el("small", {}, t("on_air"))),
      isLive && button(t("follows.enter"), enter, { kind: "main small", label: t("follows.enter_name", { name: shown }) }),
      button(t(`${name}.end`), end, { kind: "small", label: t(`${name}.end_name`, { name: shown }) }),
    );
    return item;
  }

  await tabs.open("follows");
  const dialog = openDialog(t("follows"), {}, tabs.row, el("div", { class: "audience" }, list), more);
}
