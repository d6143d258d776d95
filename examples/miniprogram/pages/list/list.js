// The live rooms; a matchmaker opens a room from here.

const account = require("../../account.js");
const { provinceOf } = require("../../areas.js");
const paging = require("../../paging.js");
const qlive = require("../../qlive.js");
const { chooseVisibility } = require("../../visibility.js");
const { t, format, showError } = require("../../i18n.js");

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [paging],
  data: { t, me: null, lives: null, province: "", seat: "", seatText: "", filter: {}, visibility: "public" },

  methods: {
    async onLoad() {
      wx.setNavigationBarTitle({ title: t.list_title });
      try {
        await account.ready();
        if (account.isNew || !account.me.age) return this.askForProfile();
        const { live_id } = await qlive.getUserState();
        if (live_id) this.show(live_id); // still in a room
      } catch (error) {
        showError(error);
      }
    },

    onShow() {
      return this.load();
    },

    async load(page = 1) {
      const { filter } = this.data;
      try {
        await account.ready();
        this.showMe(account.me);
        const rows = await qlive.getLivelist({ page, ...filter });
        if (filter !== this.data.filter) return; // another one by now
        const shown = rows.map(liveOf);
        this.page = page;
        this.hasMore = rows.length > 0;
        this.setData({ lives: page === 1 ? shown : this.data.lives.concat(shown) });
      } catch (error) {
        showError(error);
      }
    },

    /** The filters are of the user: the own province, and a free seat of the own gender. */
    showMe(me) {
      const seat = { 1: "male", 2: "female" }[me.gender] || "";
      this.setData({ me, province: provinceOf(me.area || ""), seat, seatText: seat && format("seat_free", { name: t[seat] }) });
    },

    toggle({ currentTarget }) {
      const { name, value } = currentTarget.dataset;
      const { [name]: chosen, ...others } = this.data.filter;
      this.setData({ filter: chosen ? others : { ...others, [name]: value } });
      return this.load();
    },

    async chooseVisibility() {
      this.setData({ visibility: (await chooseVisibility()) || this.data.visibility });
    },

    enter(event) {
      this.show(event.currentTarget.dataset.id);
    },

    async openRoom() {
      try {
        const { visibility } = this.data;
        this.show((await qlive.matchmakerEnter({ visibility })).live_id);
      } catch (error) {
        showError(error);
      }
    },

    /** A new user has neither face nor name; an age below 18, of earlier days, counts as none. */
    askForProfile() {
      account.isNew = false;
      wx.switchTab({ url: "/pages/me/me" });
    },

    show(live_id) {
      if (this.isOpening) return; // a second tap would open the room twice
      this.isOpening = true;
      wx.navigateTo({ url: `/pages/room/room?live_id=${live_id}`, complete: () => (this.isOpening = false) });
    },
  },
});

/** A live with its audience, and who sits on each seat or that it is free. */
function liveOf(live) {
  const { boy, girl } = live.player;
  const seats = [["male", boy], ["female", girl]].map(([name, face]) => {
    return { name, face, text: face ? "" : format("seat_free", { name: t[name] }) };
  });
  return { ...live, seats, people: format("people_in", { n: live.audience_count }) };
}
