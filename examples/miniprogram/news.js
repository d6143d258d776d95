// What happens to the user, in a room or not: told by a toast, and followed by pages with this behavior.

const account = require("./account.js");
const qlive = require("./qlive.js");
const { t, format, showToast } = require("./i18n.js");

const PARTS = { nickname: t.nickname, face: t.face, cover: t.cover_picture, room_name: t.room_name };
const TEXTS = {
  payment: ({ gold }) => format("news_payment", { gold }),
  withdrawal: ({ state }) => format("news_withdrawal", { state: t[`state_${state}`] }),
  refund: ({ gold, state }) => format(state === "refunded" ? "news_refunded" : "news_refund", { gold }),
  live_started: ({ host }) => format("news_live_started", { name: host.nickname || t.nameless }),
  checked: ({ what, outcome }) => format(`news_${outcome}`, { what: PARTS[what] }),
};

const channel = qlive.channel();

channel.on("state", ({ gold, income }, { type, data }) => {
  if ((type === "snapshot" || type === "balance") && account.me) Object.assign(account.me, { gold, income });
  if (type === "live_started") wx.showTabBarRedDot({ index: 1, fail() {} }); // on another page there is no bar
  if (type in TEXTS) showToast(TEXTS[type](data));
});

/** Calls the method `onNews` with the state of the user's channel, and the frame that has changed it. */
module.exports = Behavior({
  lifetimes: {
    attached() {
      this.unfollow = channel.on("state", (state, frame) => this.onNews(state, frame));
    },

    detached() {
      this.unfollow();
    },
  },
});
