// A seat of the room: pushes the user's own video, and plays that of others.

const qlive = require("../../qlive.js");
const { mayPush } = require("../../camera.js");
const { t, showError } = require("../../i18n.js");

/** What the states of <live-pusher> (1…) and <live-player> (2…) mean to the user. */
const VIDEO_TEXTS = {
  1001: t.video_connecting,
  1002: t.video_connecting,
  1007: "", // first frame
  1101: t.video_weak,
  1102: t.video_lost,
  2001: t.video_connecting,
  2003: "", // first frame
  2004: "",
  2007: t.video_connecting,
  2103: t.video_lost,
  2104: t.video_weak,
  2105: t.video_weak,
  3001: t.video_lost,
  3002: t.video_lost,
  3003: t.video_lost,
  3005: t.video_lost,
};
const NEEDS_NEW_URL = [-2301, -1307, 3004]; // the component has given up
const DENIED = [-1301, -1302, 10001, 10002]; // no camera, no microphone
const RENEW_MS = 2000;

Component({
  properties: {
    liveId: Number,
    name: String, // owner, male or female
    occupant: Object, // or null
    own: Boolean,
    paused: Boolean,
    removable: Boolean,
  },
  data: { t, url: "", videoText: "", denied: false },

  observers: {
    // play_url is signed again with each snapshot: a stream that plays is not restarted for that.
    "occupant, own"(occupant, own) {
      const user = occupant ? `${occupant.user_id}/${own}` : "";
      if (user === this.user) return;
      this.user = user;
      this.begin();
    },
  },

  lifetimes: {
    detached() {
      this.user = null;
      clearTimeout(this.timer);
    },
  },

  methods: {
    async begin() {
      const { occupant, own } = this.data;
      const user = this.user;
      clearTimeout(this.timer);
      this.setData({ url: "", videoText: t.video_connecting, denied: false });
      if (!own) return occupant && this.setData({ url: occupant.play_url });
      const isAllowed = await mayPush();
      if (user !== this.user) return; // off the mic before WeChat's question was answered
      if (isAllowed) this.renew();
      else this.setData({ denied: true });
    },

    /** Starts with a new URL. */
    async renew() {
      const { liveId: live_id, name, own } = this.data;
      const user = this.user;
      try {
        const urls = await qlive.getPlayurl({ live_id });
        if (user !== this.user) return; // another user sits here by now
        const url = own ? urls.push_url : urls[name].play_url || "";
        this.setData({ url: "" }); // or the component would keep its connection
        wx.nextTick(() => user === this.user && this.setData({ url }));
      } catch (error) {
        if (user === this.user) this.renewLater(error.retryAfter); // the socket reports the end of a live
      }
    },

    renewLater(seconds = 0) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.user && this.renew(), Math.max(RENEW_MS, seconds * 1000));
    },

    onState({ detail: { code } }) {
      if (code in VIDEO_TEXTS) this.setData({ videoText: VIDEO_TEXTS[code] });
      if (DENIED.includes(code)) this.setData({ url: "", denied: true });
      if (NEEDS_NEW_URL.includes(code)) {
        this.setData({ videoText: t.video_lost });
        this.renewLater();
      }
    },

    onError({ detail: { errCode } }) {
      this.onState({ detail: { code: errCode } });
    },

    openPerson() {
      const { occupant } = this.data;
      if (occupant) this.triggerEvent("person", { user_id: occupant.user_id }, { bubbles: true, composed: true });
    },

    takeOff() {
      const { liveId: live_id, occupant } = this.data;
      return qlive.leaveMicro({ live_id, user_id: occupant.user_id }).catch(showError);
    },
  },
});
