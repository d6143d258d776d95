// The mic queue; the host invites and declines here, and opens the list of viewers.

const qlive = require("../../qlive.js");
const { t, tell } = require("../../words.js");

Component({
  properties: { liveId: Number, rows: Array, host: Boolean },
  data: { t, audience: null },

  methods: {
    async toggleAudience() {
      if (this.data.audience) return this.setData({ audience: null });
      const live_id = this.data.liveId;
      try {
        const pages = [1, 2].map((gender) => qlive.getUsersInfo({ live_id, gender, page: 1 }));
        const people = (await Promise.all(pages)).flat();
        this.setData({ audience: people.filter(({ state }) => state === 0) }); // others have applied
      } catch (error) {
        tell(error);
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

    async act(call, { currentTarget }) {
      try {
        await qlive[call]({ live_id: this.data.liveId, user_id: currentTarget.dataset.id });
        this.setData({ audience: null });
      } catch (error) {
        tell(error);
      }
    },
  },
});
