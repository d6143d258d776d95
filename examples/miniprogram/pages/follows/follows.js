// Whom the user follows, those who are live first; and whom the user has met, to talk to.

const account = require("../../account.js");
const news = require("../../news.js");
const paging = require("../../paging.js");
const qlive = require("../../qlive.js");
const { openTalk } = require("../../talk.js");
const { t, format, showError, showToast } = require("../../i18n.js");

const CHANGED_BY = { follows: ["live_started"], matches: ["match"] };

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [news, paging],
  data: { t, part: "follows", rows: null },

  methods: {
    onLoad() {
      wx.setNavigationBarTitle({ title: t.follows });
    },

    onShow() {
      wx.hideTabBarRedDot({ index: 1, fail() {} });
      return this.load();
    },

    onNews(_, { type }) {
      if (CHANGED_BY[this.data.part].includes(type)) return this.load();
    },

    async load(page = 1) {
      const { part } = this.data;
      try {
        await account.ready();
        const rows = (await qlive[part]({ page })).map(rowOf);
        if (part !== this.data.part) return; // the other one by now
        this.page = page;
        this.hasMore = rows.length > 0;
        this.setData({ rows: page === 1 ? rows : this.data.rows.concat(rows) });
      } catch (error) {
        showError(error);
      }
    },

    choose({ currentTarget }) {
      this.setData({ part: currentTarget.dataset.part, rows: null });
      return this.load();
    },

    open({ currentTarget }) {
      const row = this.data.rows[currentTarget.dataset.n];
      if (this.data.part === "matches") openTalk(row);
      else if (row.live_id) wx.navigateTo({ url: `/pages/room/room?live_id=${row.live_id}` });
      else showToast(t.not_live_yet);
    },

    /** Ends a follow, or after a question a match, which does not come again. */
    end({ currentTarget }) {
      const { part, rows } = this.data;
      const { user_id, nickname } = rows[currentTarget.dataset.n];
      const end = async () => {
        try {
          await (part === "matches" ? qlive.endMatch({ user_id }) : qlive.follow({ user_id, on: false }));
          this.setData({ rows: this.data.rows.filter((row) => row.user_id !== user_id) });
        } catch (error) {
          showError(error);
        }
      };
      if (part === "follows") return end();
      wx.showModal({ title: t.end_match, content: format("end_match_asks", { name: nickname }), confirmColor: "#b3261e", success: ({ confirm }) => confirm && end() });
    },
  },
});

function rowOf({ user_id, nickname, face_url, live_id, at }) {
  const met = at && format("met_on", { date: at.slice(0, 10) });
  return { user_id, nickname: nickname || t.nameless, face_url, live_id, isLive: !at && live_id !== null, note: met || "" };
}
