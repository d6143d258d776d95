// Gift dialog: receiver, gift and quantity; without enough gold it leads to the recharge.

import { picture, radioGroup, openDialog } from "/demo/dom.js";
import { button, el, fill } from "/demo/shared/dom.js";
import { showToast } from "/demo/shared/toast.js";
import { confirmGift, openAgeCheck } from "/demo/giving.js";
import { openRecharge } from "/demo/recharge.js";
import { codeText, errorText, t } from "/demo/i18n.js";

const QUANTITIES = [1, 9, 66, 99];
const SLOW_MS = 1000; // delay before a pending gift is shown

export async function openGifts(app, page) {
  const gifts = await app.qlive.allGifts();
  const people = ["owner", "male", "female"]
    .map((seat) => ({ seat, ...page.room[seat] }))
    .filter(({ user_id }) => user_id && user_id !== app.me.user_id);
  const chosen = { to: people[0], gift: gifts[0], num: 1 };
  const foot = el("div", { class: "dialog-foot" });

  // Replaces the give button: a second gift while the first is unanswered would be paid twice.
  function showPending() {
    drawTotal();
    app.pendingGifts.retry().then(drawTotal);
  }

  async function push(confirm) {
    const { to, gift, num } = chosen;
    const answer = await app.qlive.pushGift({ user_id: to.user_id, gift_id: gift.id, num, confirm });
    if (answer.reminder) showToast(t("giving.reminder"));
    await app.refresh();
  }

  async function give() {
    const timer = setTimeout(showPending, SLOW_MS);
    try {
      await push(false);
      dialog.close();
    } catch (error) {
      if (error.code === "confirmation_needed") return await confirmGift(app, chosen.gift.gold * chosen.num, () => push(true));
      if (error.code === "age_unverified") return openAgeCheck(app);
      if (error.code !== "insufficient_gold") throw error;
      await app.refresh();
      drawTotal();
      showToast(errorText(error), "bad");
    } finally {
      clearTimeout(timer);
    }
  }

  function drawTotal() {
    const cost = chosen.gift.gold * chosen.num;
    const funds = app.me.gold + app.me.income;
    const pending = app.pendingGifts.count;
    const hadFocus = foot.contains(document.activeElement);
    fill(
      foot,
      el("p", { class: "sum", role: "status" }, t("costs", { cost, gold: app.me.gold, income: app.me.income })),
      cost > funds && el("p", { class: "missing" }, t("short_of", { n: cost - funds })),
      el(
        "div",
        { class: "buttons" },
        button(t("recharge"), () => openRecharge(app), { kind: cost > funds ? "main" : "" }),
        pending ? el("p", { class: "open", role: "status" }, t("gifts_open", { n: pending })) : button(t("give"), give, { kind: cost > funds ? "" : "main" }),
      ),
    );
    if (hadFocus) [...foot.querySelectorAll("button")].at(-1).focus(); // keep the keyboard focus
  }

  const choose = (name, value) => () => {
    chosen[name] = value;
    drawTotal();
  };
  const emptyKey = !people.length ? "nobody_to_give" : !gifts.length ? "no_gifts" : "";
  const body = !emptyKey
    ? [
        radioGroup(t("to_whom"), "to", people, (person) => [picture(person.face_url, person.nickname, "face small"), el("span", {}, person.nickname, el("small", {}, t(`seat.${person.seat}`)))], choose),
        radioGroup(t("which_gift"), "gift", gifts, (gift) => [picture(gift.image, gift.name, "gift"), el("span", {}, codeText("gift", gift.name)), el("small", {}, t("gold_n", { n: gift.gold }))], choose),
        radioGroup(t("how_many"), "num", QUANTITIES, (num) => el("span", {}, `×${num}`), choose),
        foot,
      ]
    : el("p", { class: "empty" }, t(emptyKey));
  if (!emptyKey) drawTotal();
  if (!emptyKey && app.pendingGifts.count) showPending();
  const dialog = openDialog(t("gifts"), { kind: "gift-dialog" }, body);
}
