// A card on every page: the user and another one, who were on mic together, like one another.

const account = require("../../account.js");
const qlive = require("../../qlive.js");
const { t, format } = require("../../i18n.js");
const { openTalk } = require("../../talk.js");

const cards = new Set(); // of the pages that are open
const showAll = (data) => cards.forEach((card) => card.setData(data));

qlive.channel().on("match", ({ user }) => {
  showAll({ match: user, own: account.me.face_url, text: format("matched", { name: user.nickname || t.nameless }) });
});

Component({
  options: { styleIsolation: "apply-shared" },
  data: { t, match: null, own: "", text: "" },

  lifetimes: {
    attached() {
      cards.add(this);
    },

    detached() {
      cards.delete(this);
    },
  },

  methods: {
    close() {
      showAll({ match: null });
    },

    talk() {
      openTalk(this.data.match);
      this.close();
    },
  },
});
