// Blocks of gold. The balance shown is always the server's.

const account = require("../../account.js");
const news = require("../../news.js");
const qlive = require("../../qlive.js");
const { t, format, showError } = require("../../i18n.js");

// Virtual payment on iOS is Apple's in-app purchase, and WeChat permits no other.
const OLDEST_WECHAT = "8.0.68";
const OLDEST_IOS = "15";
const LEAST_ON_IOS = 1; // yuan

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [news],
  data: { t, gold: 0, blocks: null, isOld: false, outcome: "" },

  methods: {
    async onLoad() {
      wx.setNavigationBarTitle({ title: t.recharge });
      const { platform, system } = wx.getDeviceInfo();
      const onIos = platform === "ios";
      const isNew = isFrom(OLDEST_WECHAT, wx.getAppBaseInfo().version) && isFrom(OLDEST_IOS, system);
      this.setData({ isOld: onIos && !isNew });
      try {
        await account.ready();
        const [me, blocks] = await Promise.all([account.refresh(), qlive.getBlocks()]);
        const offered = blocks.filter(({ price }) => !onIos || price >= LEAST_ON_IOS);
        this.setData({ gold: me.gold, blocks: offered });
      } catch (error) {
        showError(error);
      }
    },

    onNews({ gold }, { type }) {
      if (type === "balance") this.setData({ gold });
    },

    async buy(event) {
      if (this.paying) return;
      this.paying = true;
      this.setData({ outcome: t.paying });
      try {
        const { state, gold = this.data.gold } = await qlive.buy(event.currentTarget.dataset.id);
        this.setData({ gold, outcome: format(state, { gold }) });
      } catch (error) {
        this.setData({ outcome: "" });
        if (error.code === "age_unverified") wx.navigateTo({ url: "/pages/wallet/wallet?age=1" });
        else showError(error);
      } finally {
        this.paying = false;
      }
    },
  },
});

/** Whether a version such as "iOS 17.4" is `oldest` or later. */
function isFrom(oldest, version) {
  const [least, given] = [oldest, version].map((text) => text.match(/\d+/g).map((digits) => digits.padStart(4, "0")).join("."));
  return given >= least;
}
