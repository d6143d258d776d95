// The gift panel: to whom, which, how many. Without enough gold it leads to the recharge.

const account = require("../../account.js");
const qlive = require("../../qlive.js");
const { t, say, tell, toast } = require("../../words.js");

Component({
  properties: { people: Array }, // on mic: {seat, user_id, nickname}
  data: { t, gifts: [], counts: [1, 9, 66, 99], to: "", gift: null, num: 1, total: "", short: "", pending: false },

  observers: {
    people(people) {
      const isThere = people.some(({ user_id }) => user_id === this.data.to);
      if (!isThere) this.setData({ to: people.length ? people[0].user_id : "" });
    },
  },

  lifetimes: {
    async attached() {
      try {
        const [gifts] = await Promise.all([allGifts(), account.refresh()]);
        this.setData({ gifts, gift: gifts[0] || null });
        this.showTotal();
      } catch (error) {
        tell(error);
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
      const short = cost > funds ? say("no_money", { n: cost - funds }) : "";
      const pending = qlive.gifts.pending().length > 0; // a second one would be paid as well
      this.setData({ total: say("cost", { cost, funds }), short, pending });
    },

    async give() {
      if (this.giving) return;
      this.giving = true;
      const { to, gift, num } = this.data;
      try {
        await qlive.pushGift({ user_id: to, gift_id: gift.id, num });
        toast(t.given);
        this.close();
      } catch (error) {
        tell(error);
      }
      this.giving = false;
      await account.refresh().catch(tell);
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

async function allGifts() {
  const gifts = [];
  for (let page = 1; ; page++) {
    const { results, next } = await qlive.getGifts({ page });
    gifts.push(...results);
    if (!next) return gifts.sort((a, b) => a.gold - b.gold);
  }
}
