// The gift panel: to whom, which, how many. Without enough gold it leads to the recharge.

const account = require("../../account.js");
const qlive = require("../../qlive.js");
const { t, format, showError, showToast } = require("../../i18n.js");

const CANCELLED = {};

Component({
  options: { styleIsolation: "apply-shared" },
  properties: { people: Array }, // on mic: {seat, user_id, nickname}
  data: { t, gifts: [], counts: [1, 9, 66, 99], to: "", gift: null, num: 1, total: "", short: "", pending: false },

  lifetimes: {
    async attached() {
      const [first] = this.data.people;
      this.setData({ to: first ? first.user_id : "" });
      try {
        const [gifts] = await Promise.all([qlive.allGifts(), account.refresh()]);
        this.setData({ gifts, gift: gifts[0] || null });
        this.showTotal();
      } catch (error) {
        showError(error);
      }
    },
  },

  methods: {
    chooseTo({ currentTarget }) {
      this.setData({ to: currentTarget.dataset.id });
    },

    chooseGift({ currentTarget }) {
      this.setData({ gift: this.data.gifts[currentTarget.dataset.n] });
      this.showTotal();
    },

    chooseNum({ currentTarget }) {
      this.setData({ num: currentTarget.dataset.num });
      this.showTotal();
    },

    showTotal() {
      const { gift, num } = this.data;
      const cost = gift ? gift.gold * num : 0;
      const funds = account.me.gold + account.me.income;
      const short = cost > funds ? format("no_money", { n: cost - funds }) : "";
      const pending = qlive.gifts.pending().length > 0; // a second one would be paid as well
      this.setData({ total: format("cost", { cost, funds }), short, pending });
    },

    async give() {
      if (this.giving) return;
      const { to, gift, num, people } = this.data;
      if (!people.some(({ user_id }) => user_id === to)) return showToast(t.choose_receiver); // off the mic by now
      this.giving = true;
      const params = { user_id: to, gift_id: gift.id, num };
      try {
        const { reminder } = await qlive.pushGift(params).catch((error) => confirmed(error, params));
        showToast(reminder ? t.given_much : t.given);
        this.close();
      } catch (error) {
        if (error.code === "age_unverified") wx.navigateTo({ url: "/pages/wallet/wallet?age=1" });
        else if (error !== CANCELLED) showError(error);
      }
      this.giving = false;
      await account.refresh().catch(showError);
      this.showTotal();
    },

    recharge() {
      this.close();
      wx.navigateTo({ url: "/pages/recharge/recharge" });
    },

    close() {
      this.triggerEvent("close");
    },
  },
});

/** Asks a user who has given much already, and sends the gift with `confirm`. */
async function confirmed(error, params) {
  if (error.code !== "confirmation_needed") throw error;
  const { day, month } = await qlive.getGivingLimits();
  const content = format("confirm_gift", { day: day.given, month: month.given });
  const { confirm } = await new Promise((success) => wx.showModal({ title: t.give, content, success }));
  if (!confirm) throw CANCELLED;
  return qlive.pushGift({ ...params, confirm: true });
}
