// Blocks of gold. The balance shown is always the server's.

const account = require("../../account.js");
const qlive = require("../../qlive.js");
const { t, say, tell } = require("../../words.js");

const LEAST_ON_IOS = 1; // yuan: virtual payment on iOS is Apple's in-app purchase

Component({
  data: { t, gold: 0, blocks: null, isOld: false, outcome: "" },

  methods: {
    async onLoad() {
      wx.setNavigationBarTitle({ title: t.recharge });
      const onIos = wx.getDeviceInfo().platform === "ios";
      // On iOS, WeChat permits virtual payment alone: WeChat 8.0.68 and later.
      this.setData({ isOld: onIos && !wx.requestVirtualPayment });
      try {
        await account.ready();
        const [me, blocks] = await Promise.all([account.refresh(), qlive.getBlocks()]);
        const offered = blocks.filter(({ price }) => !onIos || price >= LEAST_ON_IOS);
        this.setData({ gold: me.gold, blocks: offered });
      } catch (error) {
        tell(error);
      }
    },

    async buy(event) {
      if (this.paying) return;
      this.paying = true;
      this.setData({ outcome: t.paying });
      try {
        const { state } = await qlive.buy(event.currentTarget.dataset.id);
        const { gold } = await account.refresh();
        this.setData({ gold, outcome: say(state, { gold }) });
      } catch (error) {
        this.setData({ outcome: "" });
        tell(error);
      } finally {
        this.paying = false;
      }
    },
  },
});
