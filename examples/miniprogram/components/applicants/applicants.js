// The mic queue; the host invites and declines here, and opens the list of viewers and of those removed.

const qlive = require("../../qlive.js");
const { t, showError } = require("../../i18n.js");

Component({
  properties: { liveId: Number, rows: Array, host: Boolean, mutedAll: Boolean },
  data: { t, audience: null, bans: [] },

  methods: {
    async toggleAudience() {
      if (this.data.audience) return this.setData({ audience: null });
      const live_id = this.data.liveId;
      try {
        const pages = [1, 2].map((gender) => qlive.getUsersInfo({ live_id, gender, page: 1 }));
        const people = (await Promise.all(pages)).flat();
        const bans = await qlive.roomBans({ live_id });
        this.setData({ audience: people.filter(({ state }) => state === 0), bans }); // others have applied
      } catch (error) {
        showError(error);
      }
    },

    invite(event) {
      return this.act("inviteMicro", event);
    },

    turnDown(event) {
      return this.act("leaveMicro", event);
    },

    putOut(event) {
      return this.act("putOut", event);
    },

    letIn(event) {
      return this.act("letIn", event);
    },

    async muteAll() {
      await qlive.muteAll({ live_id: this.data.liveId, on: !this.data.mutedAll }).catch(showError);
      this.setData({ audience: null });
    },

    openPerson({ currentTarget }) {
      this.triggerEvent("person", { user_id: currentTarget.dataset.id }, { bubbles: true, composed: true });
    },

    async act(call, { currentTarget }) {
      try {
        await qlive[call]({ live_id: this.data.liveId, user_id: currentTarget.dataset.id });
        this.setData({ audience: null });
      } catch (error) {
        showError(error);
      }
    },
  },
});
