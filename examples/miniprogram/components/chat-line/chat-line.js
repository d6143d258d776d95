// One line of the room's feed: a message, a gift, or what has happened.

Component({
  properties: { line: Object }, // {kind, name, text, image}
});
