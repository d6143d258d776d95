// Who has given and who has taken the most, in this live and today.

import { button, el, fill, picture, sheet } from "/demo/dom.js";
import { t } from "/demo/words.js";

export async function openRank(app, live_id) {
  const list = el("div", { class: "standings", "aria-live": "polite" });
  const asks = { live: () => app.qlive.rank({ live_id }), day: () => app.qlive.dayRank() };
  const tab = (name) => button(t(`rank.${name}`), () => show(name), { kind: "tab", key: name });
  const tabs = el("div", { class: "tabs", role: "group", "aria-label": t("rank") }, tab("live"), tab("day"));

  async function show(name) {
    for (const one of tabs.children) one.setAttribute("aria-pressed", String(one.dataset.key === name));
    fill(list, standings(await asks[name](), 50));
  }

  await show("live");
  sheet(t("rank"), {}, tabs, list);
}

/** The first `most` of both lists. */
export function standings(rank, most) {
  return [table("senders", "gold", rank, most), table("takings", "income", rank, most)];
}

function table(list, unit, rank, most) {
  const rows = rank[list].slice(0, most);
  const row = (who, n) =>
    el(
      "li",
      {},
      el("span", { class: `place place-${n + 1}` }, String(n + 1)),
      picture(who.face_url, who.nickname, "face small"),
      el("span", { class: "name" }, who.nickname || t("nameless")),
      el("b", {}, t(`${unit}_n`, { n: who[unit] })),
    );
  return el(
    "section",
    {},
    el("h3", {}, t(`rank.${list}`)),
    rows.length ? el("ol", {}, rows.map(row)) : el("p", { class: "empty" }, t("rank.empty")),
  );
}
