// One's own mic, camera, mirror and beauty; before going on mic with a preview.

const { mayPush } = require("../../camera.js");
const { t } = require("../../i18n.js");

const SWITCHES = ["mic", "camera", "mirror"];

Component({
  options: { styleIsolation: "apply-shared" },
  properties: {
    video: { type: Object, value: {} }, // {mic, camera, mirror, beauty}
    preview: Boolean, // not on mic yet
  },
  data: { t, switches: SWITCHES, isAllowed: false, denied: false },

  lifetimes: {
    attached() {
      if (this.data.preview) return this.begin();
    },
  },

  methods: {
    async begin() {
      const isAllowed = await mayPush();
      const preview = () => wx.createLivePusherContext().startPreview();
      this.setData({ isAllowed, denied: !isAllowed }, () => isAllowed && preview());
    },

    toggle({ currentTarget }) {
      const { name } = currentTarget.dataset;
      this.change({ [name]: !this.data.video[name] });
    },

    soften({ detail }) {
      this.change({ beauty: detail.value });
    },

    change(changes) {
      this.triggerEvent("change", { ...this.data.video, ...changes });
    },

    turn() {
      if (this.data.preview) wx.createLivePusherContext().switchCamera();
      else this.triggerEvent("turn");
    },

    goOn() {
      this.triggerEvent("ready");
    },
  },
});
