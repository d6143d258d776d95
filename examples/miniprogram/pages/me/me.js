// The user's profile: face, nickname, gender, age, height, area; and the ways to the money.

const account = require("../../account.js");
const { provinceOf } = require("../../areas.js");
const qlive = require("../../qlive.js");
const { t, showError, showToast } = require("../../i18n.js");

Component({
  data: { t, me: null, province: "", area: null },

  methods: {
    onLoad() {
      wx.setNavigationBarTitle({ title: t.me });
    },

    onShow() {
      return this.act(() => account.ready());
    },

    /** Acts, and shows the account as it is then. */
    async act(action) {
      try {
        await action();
        await account.refresh();
      } catch (error) {
        showError(error);
      }
      const { me } = account;
      this.setData({ me, province: me && provinceOf(me.area) });
    },

    chooseFace(event) {
      return this.act(() => qlive.uploadFace(event.detail.avatarUrl));
    },

    chooseArea(event) {
      const [province, city] = event.detail.code;
      this.setData({ area: { code: city || province, name: event.detail.value.slice(0, 2).join(" ") } });
    },

    /** Everything about the user, as a file that is sent to a chat. */
    copyData() {
      return this.act(async () => {
        const data = await qlive.myData();
        if (!data) return showToast(t.building);
        const filePath = `${wx.env.USER_DATA_PATH}/my-data.json`;
        wx.getFileSystemManager().writeFileSync(filePath, JSON.stringify(data));
        wx.shareFileMessage({ filePath });
      });
    },

    /** Deletes the user in a week, after a warning, or takes that back. */
    leave() {
      const cancel = Boolean(this.data.me.delete_at);
      const act = (answer) => answer.confirm && this.act(() => qlive.delete({ cancel }));
      if (cancel) return act({ confirm: true });
      wx.showModal({ title: t.leave, content: t.leave_asks, success: act });
    },

    save(event) {
      const { nickname, gender, age, height } = event.detail.value;
      const { me, area } = this.data;
      const changes = { height: height ? Number(height) : null };
      if (nickname) changes.nickname = nickname;
      if (age) changes.age = Number(age);
      if (gender && Number(gender) !== me.gender) changes.gender = Number(gender);
      if (area) changes.area = area.code;
      return this.act(async () => {
        await qlive.updateUserinfo(changes);
        showToast(t.saved);
      });
    },
  },
});
