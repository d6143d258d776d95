// The audience, women and men in turn page by page, and those whom the host has put out.

const qlive = require("../../qlive.js");
const { t, showError } = require("../../i18n.js");

const SCREEN = 12; // rows that fill the sheet, so that it scrolls and asks for more

Component({
  options: { styleIsolation: "apply-shared" },
  properties: { liveId: Number },
  data: { t, people: [], bans: [], isEmpty: false },

  lifetimes: {
    attached() {
      this.pages = { 1: 1, 2: 1 }; // the next page of each gender; 0: there is none
      return this.more();
    },
  },

  methods: {
    /** Reads on until there is a screen of further viewers: who has applied comes first, and is in the queue. */
    async more() {
      if (this.isReading) return;
      this.isReading = true;
      try {
        const bans = this.hasBans ? this.data.bans : await qlive.roomBans({ live_id: this.data.liveId });
        this.hasBans = true;
        const found = [];
        while (found.length < SCREEN && (this.pages[1] || this.pages[2])) {
          found.push(...(await Promise.all([1, 2].map((gender) => this.read(gender)))).flat());
        }
        const people = this.data.people.concat(found);
        this.setData({ people, bans, isEmpty: !people.length && !bans.length });
      } catch (error) {
        showError(error);
      }
      this.isReading = false;
    },

    async read(gender) {
      const page = this.pages[gender];
      if (!page) return [];
      const rows = await qlive.getUsersInfo({ live_id: this.data.liveId, gender, page });
      this.pages[gender] = rows.length ? page + 1 : 0;
      return rows.filter(({ state }) => state === 0);
    },

    invite(event) {
      return this.act("inviteMicro", event);
    },

    putOut(event) {
      return this.act("putOut", event);
    },

    letIn(event) {
      return this.act("letIn", event);
    },

    openPerson({ currentTarget }) {
      this.triggerEvent("person", { user_id: currentTarget.dataset.id }, { bubbles: true, composed: true });
    },

    async act(call, { currentTarget }) {
      const user_id = currentTarget.dataset.id;
      try {
        await qlive[call]({ live_id: this.data.liveId, user_id });
        const without = (rows) => rows.filter((row) => row.user_id !== user_id);
        this.setData({ people: without(this.data.people), bans: without(this.data.bans) });
        if (this.data.people.length < SCREEN) await this.more();
      } catch (error) {
        showError(error);
      }
    },
  },
});
