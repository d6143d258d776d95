// A card on every page: the host of a room, in which the user is not, invites the user into it.

const news = require("../../news.js");
const qlive = require("../../qlive.js");
const { t, format, showError } = require("../../i18n.js");

const ROOM = "pages/room/room";

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [news],
  data: { t, ticket: "", text: "", invitation: null },

  lifetimes: {
    attached() {
      const { state } = qlive.channel();
      if (state) this.onNews(state);
    },
  },

  methods: {
    onNews({ invitations }) {
      const invitation = invitations.filter(({ kind }) => kind === "room").pop();
      const ticket = invitation ? invitation.invitation_id : "";
      if (ticket === this.data.ticket) return;
      const text = invitation ? format("invited_to_room", { name: invitation.host.nickname || t.nameless }) : "";
      this.setData({ ticket, text, invitation: invitation || null });
    },

    enter() {
      const [page] = getCurrentPages().slice(-1);
      const show = page.route === ROOM ? wx.redirectTo : wx.navigateTo; // in one room at a time
      show({ url: `/${ROOM}?t=${this.data.ticket}` });
    },

    ignore() {
      const { ticket, invitation } = this.data;
      return qlive.withdrawInvitation({ live_id: invitation.live_id, ticket }).catch(showError);
    },
  },
});
