// Income, and its withdrawals. That WeChat has shown its page proves nothing: the list does.

const { failureOf } = require("qlive-miniprogram");
const account = require("../../account.js");
const news = require("../../news.js");
const qlive = require("../../qlive.js");
const { t, format, showError, showToast } = require("../../i18n.js");

const FINAL = ["paid", "returned"];

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [news],
  data: {
    t, me: null, matured: 0, maturedYuan: "", incomeYuan: "", items: [], caps: [], needsName: false, needsAge: false,
    unit: "", rows: [], page: 0, hasMore: false,
  },

  methods: {
    /** `age`: the server has refused a gift or a recharge of this user. */
    onLoad({ age }) {
      this.setData({ needsAge: Boolean(age) });
      wx.setNavigationBarTitle({ title: t.wallet });
    },

    onShow() {
      return this.act(() => account.ready());
    },

    onNews({ income }, { type, reset }) {
      if (type === "withdrawal" || reset) return this.load().catch(showError);
      const { me } = this.data;
      if (type === "balance" && me) this.setData({ "me.income": income, incomeYuan: account.yuanOf(income) });
    },

    async onPullDownRefresh() {
      await this.onShow();
      wx.stopPullDownRefresh();
    },

    /** Acts, and shows the withdrawals as they are then. */
    async act(action) {
      try {
        await action();
        await this.load();
      } catch (error) {
        if (error.code === "real_name_needed") this.setData({ needsName: true });
        showError(error);
      }
    },

    async load() {
      const order = (this.order = (this.order || 0) + 1);
      const [{ matured, items }, me, limits] = await Promise.all([qlive.withdrawals(), account.refresh(), qlive.getGivingLimits()]);
      const caps = ["gift", "day", "month"].map((name) => capOf(name, limits[name]));
      if (order !== this.order) return; // a later answer has come first
      this.setData({ me, matured, maturedYuan: account.yuanOf(matured), incomeYuan: account.yuanOf(me.income), items: items.map(shown), caps });
    },

    withdraw(event) {
      const { income, real_name } = event.detail.value;
      const asked = { income: Number(income), real_name: real_name || undefined };
      // Repeated with its request_id until there is an answer, so that it is paid once.
      if (!this.asked || this.asked.income !== asked.income) this.request_id = `${Date.now()}-${Math.random()}`;
      this.asked = asked;
      return this.act(async () => {
        try {
          await qlive.withdraw({ ...asked, request_id: this.request_id });
          this.asked = null;
        } catch (error) {
          if (error.name === "Refused" && error.status < 500) this.asked = null;
          throw error;
        }
      });
    },

    verify({ detail }) {
      return this.act(async () => {
        await qlive.verifyAge(detail.value);
        this.setData({ needsAge: false });
        showToast(t.age_verified);
      });
    },

    changeCap({ currentTarget }) {
      const { name, title } = this.data.caps[currentTarget.dataset.n];
      const change = (gold) => this.act(() => qlive.givingLimits({ [`${name}_gold`]: Number(gold) }));
      wx.showModal({ title, placeholderText: t.cap_text, editable: true, success: ({ confirm, content }) => confirm && /^[0-9]+$/.test(content) && change(content) });
    },

    /** The first page of a statement, of gold or income. */
    statement(event) {
      this.setData({ unit: event.currentTarget.dataset.unit, rows: [], page: 0 });
      return this.more();
    },

    async more() {
      const { unit, page, rows } = this.data;
      try {
        const { results, has_more } = await qlive.statement({ unit, page: page + 1 });
        if (unit === this.data.unit) this.setData({ rows: [...rows, ...results.map(entry)], page: page + 1, hasMore: has_more });
      } catch (error) {
        showError(error);
      }
    },

    confirm(event) {
      const item = this.data.items[event.currentTarget.dataset.n];
      return this.act(() => qlive.confirmWithdrawal(item));
    },

    cancel(event) {
      const { withdrawal_id } = this.data.items[event.currentTarget.dataset.n];
      return this.act(() => qlive.cancelWithdrawal({ withdrawal_id }));
    },
  },
});

function capOf(name, { given, own, next, next_at: at, house }) {
  const least = Math.min(...[own, house].filter(Boolean));
  const later = at ? format("cap_later", { gold: next || t.no_cap, at: at.slice(5, 16).replace("T", " ") }) : "";
  return { name, title: t[`cap_${name}`], note: own || house ? String(least) : t.no_cap, details: `${name === "gift" ? "" : format("given_so_far", { given })} ${later}`.trim() };
}

function entry({ time, what, who, amount, balance }) {
  const name = who ? who.nickname : "";
  return { what: `${t[`what_${what}`]} ${name}`, at: time.slice(5, 16).replace("T", " "), amount: amount > 0 ? `+${amount}` : amount, balance };
}

function shown(item) {
  const isFinal = FINAL.includes(item.state);
  const failure = failureOf(item);
  return {
    ...item,
    yuan: (item.fen / 100).toFixed(2),
    at: item.requested_at.slice(5, 16).replace("T", " "),
    why: isFinal ? (failure ? t[`fail_${failure}`] || t.fail_other : item.reason) : "",
    word: t[`state_${item.state}`],
    open: !isFinal && !item.reason,
  };
}
