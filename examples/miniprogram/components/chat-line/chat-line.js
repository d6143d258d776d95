// One line of the room's feed: a message, a gift, or what has happened.

Component({
  properties: { line: Object }, // {kind, user_id, name, text, image}

  methods: {
    openPerson() {
      this.triggerEvent("person", { user_id: this.data.line.user_id }, { bubbles: true, composed: true });
    },
  },
});
