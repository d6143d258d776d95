// The user's profile: face, nickname, gender, age, height, area; and the ways to the money.

const account = require("../../account.js");
const { provinceOf } = require("../../areas.js");
const news = require("../../news.js");
const qlive = require("../../qlive.js");
const { t, showError, showToast } = require("../../i18n.js");

Component({
  options: { styleIsolation: "apply-shared" },
  behaviors: [news],
  data: { t, me: null, province: "", area: null, yuan: "", gender: 0, nameType: "", file: "" },

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
      if (me) this.setData({ me, yuan: account.yuanOf(me.income), province: provinceOf(me.area), gender: this.data.gender || me.gender });
    },

    onNews({ gold, income }, { type, reset }) {
      if (type === "checked" || reset) return this.act(() => {}); // shows the name or picture as others see it
      const { me } = this.data;
      if (type === "balance" && me) this.setData({ "me.gold": gold, "me.income": income, yuan: account.yuanOf(income) });
    },

    go({ currentTarget }) {
      wx.navigateTo({ url: currentTarget.dataset.url });
    },

    chooseFace(event) {
      return this.act(() => qlive.uploadFace(event.detail.avatarUrl));
    },

    chooseArea(event) {
      const [province, city] = event.detail.code;
      this.setData({ area: { code: city || province, name: event.detail.value.slice(0, 2).join(" ") } });
    },

    /** WeChat offers the user's name only after its privacy agreement; without, the name is typed. */
    askForName() {
      const ask = (nameType) => this.setData({ nameType });
      wx.requirePrivacyAuthorize({ success: () => ask("nickname"), fail: () => ask("text") });
    },

    chooseGender({ currentTarget }) {
      this.setData({ gender: currentTarget.dataset.gender });
    },

    /** Everything about the user, as a file; `shareData` sends it, since WeChat wants a tap of its own for that. */
    copyData() {
      return this.act(async () => {
        const data = await qlive.myData();
        if (!data) return showToast(t.building);
        const file = `${wx.env.USER_DATA_PATH}/my-data.json`;
        wx.getFileSystemManager().writeFileSync(file, JSON.stringify(data));
        this.setData({ file });
      });
    },

    shareData() {
      const { file: filePath } = this.data;
      const files = wx.getFileSystemManager();
      const end = () => {
        files.unlinkSync(filePath);
        this.setData({ file: "" });
      };
      const copied = () => {
        showToast(t.copied);
        end();
      };
      const copy = () => wx.setClipboardData({ data: files.readFileSync(filePath, "utf8"), success: copied, fail: showError });
      wx.shareFileMessage({ filePath, success: end, fail: ({ errMsg }) => /cancel/.test(errMsg) || copy() });
    },

    /** Deletes the user in a week, after a warning, or takes that back. */
    leave() {
      const cancel = Boolean(this.data.me.delete_at);
      const act = (answer) => answer.confirm && this.act(() => qlive.delete({ cancel }));
      if (cancel) return act({ confirm: true });
      wx.showModal({ title: t.leave, content: t.leave_asks, success: act });
    },

    save(event) {
      const { nickname, age, height } = event.detail.value;
      const { me, area, gender } = this.data;
      const changes = { height: height ? Number(height) : null };
      if (nickname) changes.nickname = nickname;
      if (age) changes.age = Number(age);
      if (gender && gender !== me.gender) changes.gender = gender;
      if (area) changes.area = area.code;
      return this.act(async () => {
        await qlive.updateUserinfo(changes);
        showToast(t.saved);
      });
    },
  },
});
