// Rankings of givers and earners who agreed to be shown, without sums, for this live and for today.

import { picture, openDialog, tabRow } from "/demo/dom.js";
import { checkbox, el, fill } from "/demo/shared/dom.js";
import { t } from "/demo/i18n.js";

export async function openRank(app, live_id) {
  const list = el("div", { class: "standings", "aria-live": "polite" });
  const load = { live: () => app.qlive.rank({ live_id }), day: () => app.qlive.dayRank() };
  const tabs = tabRow(t("rank"), { live: t("rank.live"), day: t("rank.day") }, async (name, isShown) => {
    const rank = await load[name]();
    if (isShown()) fill(list, standings(rank, 50));
  });
  await tabs.open("live");
  openDialog(t("rank"), {}, tabs.row, list, consentBox(app));
}

/** The user's consent to be shown, which takes effect at once; unticked again if it is not stored. */
function consentBox(app) {
  const onchange = async ({ target }) => {
    try {
      app.me = { ...app.me, ...(await app.qlive.updateUserinfo({ show_in_ranking: target.checked })) };
    } catch (error) {
      target.checked = !target.checked;
      throw error;
    }
  };
  return checkbox(t("rank.agree"), { checked: app.me.show_in_ranking, onchange });
}

/** The first `limit` entries of both rankings. */
export function standings(rank, limit) {
  return [rankTable("senders", rank, limit), rankTable("takings", rank, limit)];
}

function rankTable(list, rank, limit) {
  const rows = rank[list].slice(0, limit);
  const row = (user, n) =>
    el(
      "li",
      {},
      el("span", { class: `place place-${n + 1}` }, String(n + 1)),
      picture(user.face_url, user.nickname, "face small"),
      el("span", { class: "name" }, user.nickname || t("nameless")),
    );
  return el(
    "section",
    {},
    el("h3", {}, t(`rank.${list}`)),
    rows.length ? el("ol", {}, rows.map(row)) : el("p", { class: "empty" }, t("rank.empty")),
  );
}
