// What WeChat's review looks for: the agreement, the privacy policy, the notice on minors, complaints.

const { t, showToast } = require("../../i18n.js");
const { AGREEMENT, MINORS } = require("../../terms.js");

Component({
  options: { styleIsolation: "apply-shared" },
  data: { t, texts: [{ name: "agreement", lines: AGREEMENT }, { name: "minors", lines: MINORS }], open: "" },

  methods: {
    onLoad() {
      wx.setNavigationBarTitle({ title: t.about });
    },

    toggle({ currentTarget }) {
      const { name } = currentTarget.dataset;
      this.setData({ open: this.data.open === name ? "" : name });
    },

    showPrivacy() {
      wx.openPrivacyContract({ fail: () => showToast(t.privacy) });
    },
  },
});
