// The mic queue; the host invites and declines here, a deputy declines who has applied.

const qlive = require("../../qlive.js");
const { t, showError } = require("../../i18n.js");

Component({
  options: { styleIsolation: "apply-shared" },
  properties: { liveId: Number, rows: Array, host: Boolean, deputy: Boolean },
  data: { t },

  methods: {
    invite(event) {
      return this.act("inviteMicro", event);
    },

    turnDown(event) {
      return this.act("leaveMicro", event);
    },

    openPerson({ currentTarget }) {
      this.triggerEvent("person", { user_id: currentTarget.dataset.id }, { bubbles: true, composed: true });
    },

    act(call, { currentTarget }) {
      return qlive[call]({ live_id: this.data.liveId, user_id: currentTarget.dataset.id }).catch(showError);
    },
  },
});
