// Invites into the live: a user of the app, a friend at WeChat, by link or by code. Lists what is open.

const qlive = require("../../qlive.js");
const { t, format, showError, showToast } = require("../../i18n.js");

Component({
  options: { styleIsolation: "apply-shared" },
  properties: { liveId: Number },
  data: { t, ways: ["friend", "link", "code"], card: "", picture: "", rows: [] },

  lifetimes: {
    attached() {
      return this.load();
    },

    detached() {
      wx.updateShareMenu({ withShareTicket: false, isPrivateMessage: false }); // later shares are ordinary
    },
  },

  methods: {
    async load() {
      const tickets = await qlive.getInvitation({ live_id: this.data.liveId }).catch(showError);
      if (tickets) this.setData({ rows: tickets.map(rowOf) });
    },

    /** Issues a ticket; what WeChat cannot make now is replaced by a card to share. */
    async invite({ currentTarget, detail }) {
      const { by } = currentTarget.dataset;
      if (this.isInviting) return;
      this.isInviting = true;
      try {
        const issued = await qlive.invitation({ live_id: this.data.liveId, by, ...detail.value });
        const { activity_id, link, unavailable } = issued;
        if (activity_id) await qlive.shareInvitation({ activity_id });
        if (link) wx.setClipboardData({ data: link, success: () => showToast(t.link_copied) });
        if (unavailable || by === "app") showToast(unavailable ? t.invite_unavailable : t.invite_sent);
        this.setData({ card: by === "friend" || unavailable ? issued.path : "", picture: issued.picture || "" });
      } catch (error) {
        showError(error);
      }
      this.isInviting = false;
      return this.load();
    },

    async withdraw({ currentTarget }) {
      const { ticket } = currentTarget.dataset;
      this.setData({ card: "", picture: "" }); // they may be of this ticket
      await qlive.withdrawInvitation({ live_id: this.data.liveId, ticket }).catch(showError);
      return this.load();
    },
  },
});

function rowOf({ ticket, by, user_id, uses, taken, expires_at }) {
  const state = format("invite_state", { taken, uses, at: expires_at.slice(11, 16) });
  return { ticket, title: `${t[`invite_${by}`]} ${user_id}`, state };
}
