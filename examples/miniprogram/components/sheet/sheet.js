// A bottom sheet: its content scrolls, and the page behind it is dimmed.

Component({
  options: { styleIsolation: "apply-shared" },
  properties: { heading: String, closing: String },

  methods: {
    close() {
      this.triggerEvent("close");
    },

    reachEnd() {
      this.triggerEvent("more");
    },
  },
});
