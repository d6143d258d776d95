// The room's feed, which floats over the video: messages, gifts, and what has happened.

Component({
  options: { styleIsolation: "apply-shared" },
  properties: {
    lines: Array, // {slot, order, kind, user_id, text, image}; a slot is used again for a later line
    names: Object, // of the senders, by user_id
    last: String, // id of the latest line
  },

  methods: {
    openPerson({ currentTarget }) {
      this.triggerEvent("person", { user_id: currentTarget.dataset.id }, { bubbles: true, composed: true });
    },
  },
});
