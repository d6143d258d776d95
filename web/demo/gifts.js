// The shelf of gifts: to whom, which, how many; whoever is short of gold is led to the recharge.

import { button, el, fill, picture, problem, say, sheet } from "/demo/dom.js";
import { openRecharge } from "/demo/recharge.js";
import { t } from "/demo/words.js";

const NUMBERS = [1, 9, 66, 99];
const SLOW_MS = 1000; // so long nothing is said of an answer that has not come

export async function openGifts(app, page) {
  const gifts = await allGifts(app.qlive);
  const people = ["owner", "male", "female"]
    .map((seat) => ({ seat, ...page.room[seat] }))
    .filter(({ user_id }) => user_id && user_id !== app.me.user_id);
  const chosen = { to: people[0], gift: gifts[0], num: 1 };
  const foot = el("div", { class: "shelf-foot" });

  // Instead of the button: who gives once more, not knowing of the first, would pay twice.
  function wait() {
    total();
    app.unanswered.ask().then(total);
  }

  async function give() {
    const slow = setTimeout(wait, SLOW_MS);
    try {
      const { to, gift, num } = chosen;
      await app.qlive.pushGift({ user_id: to.user_id, gift_id: gift.id, num });
      dialog.close();
      await app.refresh();
    } catch (error) {
      if (error.code !== "insufficient_gold") throw error;
      await app.refresh();
      total();
      say(problem(error), "bad");
    } finally {
      clearTimeout(slow);
    }
  }

  function total() {
    const cost = chosen.gift.gold * chosen.num;
    const purse = app.me.gold + app.me.income;
    const open = app.unanswered.count;
    const held = foot.contains(document.activeElement);
    fill(
      foot,
      el("p", { class: "sum", role: "status" }, t("costs", { cost, gold: app.me.gold, income: app.me.income })),
      cost > purse && el("p", { class: "short" }, t("short_of", { n: cost - purse })),
      el(
        "div",
        { class: "buttons" },
        button(t("recharge"), () => openRecharge(app), { kind: cost > purse ? "main" : "" }),
        open ? el("p", { class: "open", role: "status" }, t("gifts_open", { n: open })) : button(t("give"), give, { kind: cost > purse ? "" : "main" }),
      ),
    );
    if (held) [...foot.querySelectorAll("button")].at(-1).focus(); // the keyboard stays where it was
  }

  const choose = (name, value) => () => {
    chosen[name] = value;
    total();
  };
  const none = !people.length ? "nobody_to_give" : !gifts.length ? "no_gifts" : "";
  const body = !none
    ? [
        choice(t("to_whom"), "to", people, (who) => [picture(who.face_url, who.nickname, "face small"), el("span", {}, who.nickname, el("small", {}, t(`seat.${who.seat}`)))], choose),
        choice(t("which_gift"), "gift", gifts, (gift) => [picture(gift.image, gift.name, "gift"), el("span", {}, t(`gift.${gift.name}`)), el("small", {}, t("gold_n", { n: gift.gold }))], choose),
        choice(t("how_many"), "num", NUMBERS, (num) => el("span", {}, `×${num}`), choose),
        foot,
      ]
    : el("p", { class: "empty" }, t(none));
  if (!none) total();
  if (!none && app.unanswered.count) wait();
  const dialog = sheet(t("gifts"), { kind: "shelf" }, body);
}

/** One of several, as radio buttons: arrow keys move, the label is what one sees. */
function choice(title, name, values, shows, choose) {
  const one = (value, n) =>
    el("label", {}, el("input", { type: "radio", name, checked: n === 0, onchange: choose(name, value) }), shows(value));
  return el("fieldset", { class: `choice of-${name}` }, el("legend", {}, title), el("div", {}, values.map(one)));
}

async function allGifts(qlive) {
  const gifts = [];
  for (let page = 1; ; page++) {
    const answer = await qlive.getGifts({ page });
    gifts.push(...answer.results);
    if (!answer.next) return gifts.sort((one, other) => one.gold - other.gold);
  }
}
