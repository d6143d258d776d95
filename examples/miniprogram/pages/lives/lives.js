// The host's own lives: what each evening was.

const account = require("../../account.js");
const paging = require("../../paging.js");
const qlive = require("../../qlive.js");
const { t, format, showError } = require("../../i18n.js");

const COUNTS = ["audience_total", "audience_peak", "applications", "income", "followers", "matches"];

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [paging],
  data: { t, lives: null },

  methods: {
    onLoad() {
      wx.setNavigationBarTitle({ title: t.lives });
      return this.load();
    },

    async load(page = 1) {
      try {
        await account.ready();
        const lives = (await qlive.lives({ page })).map(liveOf);
        this.page = page;
        this.hasMore = lives.length > 0;
        this.setData({ lives: page === 1 ? lives : this.data.lives.concat(lives) });
      } catch (error) {
        showError(error);
      }
    },
  },
});

function liveOf({ started_at, ended_at, reason, dates, ...live }) {
  const time = (at) => at.slice(11, 16);
  const minutes = ended_at && Math.round((toMs(ended_at) - toMs(started_at)) / 60_000);
  return {
    key: started_at,
    day: started_at.slice(0, 10),
    times: ended_at ? `${time(started_at)} – ${time(ended_at)}` : `${time(started_at)} –`,
    state: !ended_at ? t.is_live : reason === "host" ? format("minutes", { n: minutes }) : t[`ended_${reason}`],
    counts: COUNTS.map((name) => ({ name, value: live[name] === null ? "–" : live[name] })),
    dates: dates.map(({ male, female, from, to }, n) => ({ n, names: [male, female].map(nameOf).join(" ♥ "), times: to ? `${time(from)} – ${time(to)}` : time(from) })),
  };
}

/** Times of the server are those in China, which has no summer time. */
const toMs = (at) => Date.parse(`${at}+08:00`);

const nameOf = (user) => (user ? user.nickname || t.nameless : t.user_gone);
