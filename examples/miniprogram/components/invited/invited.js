// A card on every page: the host of a room, in which the user is not, invites the user into it.

const news = require("../../news.js");
const qlive = require("../../qlive.js");
const { t, format, showError } = require("../../i18n.js");

const ROOM = "pages/room/room";

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [news],
  data: { t, invitation: null, text: "" },

  lifetimes: {
    attached() {
      const { state } = qlive.channel();
      if (state) this.onNews(state);
    },
  },

  methods: {
    onNews({ invitations }) {
      const invitation = invitations.filter(({ kind }) => kind === "room").pop() || null;
      if (idOf(invitation) === idOf(this.data.invitation)) return;
      const text = invitation ? format("invited_to_room", { name: invitation.host.nickname }) : "";
      this.setData({ invitation, text });
    },

    enter() {
      const show = getCurrentPages().pop().route === ROOM ? wx.redirectTo : wx.navigateTo; // in one room at a time
      show({ url: `/${ROOM}?t=${this.data.invitation.invitation_id}` });
    },

    ignore() {
      const { live_id, invitation_id: ticket } = this.data.invitation;
      return qlive.withdrawInvitation({ live_id, ticket }).catch(showError);
    },
  },
});

function idOf(invitation) {
  return invitation && invitation.invitation_id;
}
