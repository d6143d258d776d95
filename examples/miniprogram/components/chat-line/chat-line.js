// One line of the room's feed: a message, a gift, or what has happened.

Component({
  properties: { line: Object, name: String }, // {kind, user_id, text, image}; the sender's name

  methods: {
    openPerson() {
      this.triggerEvent("person", { user_id: this.data.line.user_id }, { bubbles: true, composed: true });
    },
  },
});
