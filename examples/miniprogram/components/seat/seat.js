// A seat of the room: pushes the user's own video, and plays that of others.

const qlive = require("../../qlive.js");
const { mayPush } = require("../../camera.js");
const { t, showError } = require("../../i18n.js");

// States of <live-pusher> (1…) and <live-player> (2…). The pusher's first frame, 1007, is that of the
// camera: the video is on its way with 1002.
const RUNS = [1002, 2003, 2004];
const LOADS = [2007];
const WEAK = [1101, 2104, 2105];
const LOST = [1102, 2103, 3001, 3002, 3003, 3005, -1303, -1304];
const SUSPENDED = [5000, 5001]; // in the background, or a call
const GAVE_UP = [-2301, -2302, -1307, 2006, 3004]; // the component needs another address
const DENIED = [-1301, -1302, 10001, 10002]; // no camera, no microphone
const WEAK_MS = 5000;
const RENEW_MS = [2000, 4000, 8000, 16000, 30000]; // a dead stream has many viewers: ± 25 %

Component({
  options: { styleIsolation: "apply-shared" },
  properties: {
    liveId: Number,
    seat: { type: Object, value: {} }, // of view.js
    removable: Boolean,
    video: { type: Object, value: {} }, // the user's own: {mic, camera, mirror, beauty}
  },
  data: { t, url: "", phase: "connecting", isWeak: false, denied: false },

  observers: {
    // Nothing is asked for while the person is away; it is when they are back.
    "seat.isAway"(isAway) {
      if (isAway && !this.data.seat.own) clearTimeout(this.timer);
      if (this.wasAway && !isAway && this.data.phase === "lost") this.renew();
      this.wasAway = isAway;
    },

    // A live that has become private has new streams.
    "seat.url"(url) {
      const isNew = this.address && url && url !== this.address;
      this.address = url;
      if (isNew && this.data.seat.own) this.push();
      else if (isNew) this.restart(url);
    },
  },

  lifetimes: {
    attached() {
      this.failures = 0;
      if (this.data.seat.own) this.push();
    },

    detached() {
      this.isGone = true;
      clearTimeout(this.timer);
      clearTimeout(this.weakTimer);
    },
  },

  methods: {
    /** Pushes the user's own video, once camera and microphone are permitted. */
    async push() {
      const isAllowed = await mayPush();
      if (this.isGone) return; // off the mic before WeChat's question was answered
      this.setData({ denied: !isAllowed });
      if (isAllowed) this.renew();
    },

    /** Starts with a new address. */
    async renew() {
      clearTimeout(this.timer);
      const { liveId: live_id, seat } = this.data;
      try {
        const urls = await qlive.getPlayurl({ live_id });
        if (this.isGone) return;
        this.restart(seat.own ? urls.push_url : urls[seat.name].play_url || "");
      } catch (error) {
        this.renewLater(error.retryAfter); // the socket reports the end of a live
      }
    },

    restart(url) {
      this.setData({ url: "none" }); // or the component would keep its connection
      wx.nextTick(() => this.isGone || this.setData({ url }));
    },

    renewLater(seconds = 0) {
      clearTimeout(this.timer);
      if (this.isGone || (this.data.seat.isAway && !this.data.seat.own)) return;
      const ms = RENEW_MS[Math.min(this.failures++, RENEW_MS.length - 1)];
      const spread = ms * (0.75 + Math.random() * 0.5);
      this.timer = setTimeout(() => this.renew(), Math.max(spread, seconds * 1000));
    },

    onState({ detail: { code } }) {
      if (RUNS.includes(code)) {
        this.failures = 0;
        this.show("runs");
      }
      if (LOADS.includes(code)) this.show("connecting");
      if (LOST.includes(code)) this.show("lost");
      if (SUSPENDED.includes(code)) this.show("suspended");
      if (WEAK.includes(code)) this.warn();
      if (DENIED.includes(code)) this.setData({ url: "", denied: true });
      if (GAVE_UP.includes(code)) {
        this.show("lost");
        this.renewLater();
      }
    },

    show(phase) {
      if (phase !== this.data.phase) this.setData({ phase });
    },

    /** Shows a weak network for some seconds, since no code reports its end. */
    warn() {
      clearTimeout(this.weakTimer);
      this.weakTimer = setTimeout(() => this.setData({ isWeak: false }), WEAK_MS);
      if (!this.data.isWeak) this.setData({ isWeak: true });
    },

    onError({ detail: { errCode } }) {
      this.onState({ detail: { code: errCode } });
    },

    switchCamera() {
      wx.createLivePusherContext().switchCamera();
    },

    openPerson() {
      const { user_id } = this.data.seat;
      this.triggerEvent("person", { user_id }, { bubbles: true, composed: true });
    },

    takeOff() {
      const { liveId: live_id, seat } = this.data;
      return qlive.leaveMicro({ live_id, user_id: seat.user_id }).catch(showError);
    },
  },
});
