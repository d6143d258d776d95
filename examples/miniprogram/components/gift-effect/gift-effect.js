// Shows gifts one after the other; their `effect` (fly, drive, fullscreen) is a class of its wxss.

const SHOWN_MS = 2400;
const MOST = 5; // waiting; of a flood the latest are shown

Component({
  properties: { gift: Object }, // data of the latest event `gift`
  data: { shown: null },

  observers: {
    gift(gift) {
      if (!gift) return;
      this.waiting = (this.waiting || []).concat([gift]).slice(-MOST);
      if (!this.timer) this.next();
    },
  },

  lifetimes: {
    detached() {
      clearTimeout(this.timer);
    },
  },

  methods: {
    next() {
      const shown = this.waiting.shift() || null;
      this.timer = shown && setTimeout(() => this.next(), SHOWN_MS);
      this.setData({ shown });
    },
  },
});
