// The chat of two users over Tencent IM, whose messages the server checks as it does those of rooms.

const account = require("../../account.js");
const chat = require("../../chat.js");
const { openPerson } = require("../../person.js");
const qlive = require("../../qlive.js");
const { t, showError } = require("../../i18n.js");

Component({
  options: { styleIsolation: "apply-shared" },
  data: { t, hasChat: Boolean(chat), isReady: false, lines: [], text: "", last: "" },

  methods: {
    async onLoad({ user_id, nickname }) {
      this.user_id = user_id;
      wx.setNavigationBarTitle({ title: nickname || t.nameless });
      if (!chat) return;
      this.off = chat.on("private", (line) => line.from === user_id && this.add([line]));
      try {
        await account.ready();
        this.add(await chat.talkTo(user_id));
        this.setData({ isReady: true });
      } catch (error) {
        showError(error);
      }
    },

    onUnload() {
      if (!chat) return;
      this.off();
      if (!chat.joined) chat.leave().catch(() => {}); // or a room below goes on with it
    },

    add(more) {
      const lines = this.data.lines.concat(more.map(({ from, text }) => ({ text, isOwn: from === qlive.userId })));
      this.setData({ lines, last: `line-${lines.length - 1}` });
    },

    async say({ detail }) {
      try {
        this.add([await chat.sendTo(this.user_id, detail.value)]);
        this.setData({ text: "" });
      } catch (error) {
        showError(error);
      }
    },

    openPerson() {
      return openPerson({ user_id: this.user_id }).catch(showError);
    },
  },
});
