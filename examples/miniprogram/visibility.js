// Who may enter a live: everybody, followers of the host, or users with an invitation.

const { choose } = require("./person.js");
const { t } = require("./i18n.js");

const VISIBILITIES = ["public", "followers", "private"];

/** Resolves with null if the host changes their mind. */
async function chooseVisibility() {
  const chosen = await choose(VISIBILITIES.map((name) => t[`visibility_${name}`]));
  return chosen === null ? null : VISIBILITIES[chosen];
}

module.exports = { chooseVisibility };
