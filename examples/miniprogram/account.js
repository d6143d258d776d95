// The user of this phone: signs in once, and keeps the account as it was read last.

const qlive = require("./qlive.js");

let signingIn = null;

const account = {
  me: null,
  isNew: false, // registered just now

  /** Resolves when the user is signed in; after a failure the next call tries again. */
  ready() {
    signingIn = signingIn || account.signIn();
    signingIn.catch(() => (signingIn = null));
    return signingIn;
  },

  async signIn() {
    account.isNew = (await qlive.signIn()).created;
    qlive.channel().open(); // before a room, whose connection then carries it
    qlive.gifts.resume(); // of the last time, with their own request_id
    return account.refresh();
  },

  async refresh() {
    account.me = await qlive.getUserinfo();
    return account.me;
  },

  yuanOf(income) {
    return (income * Number(account.me.rate)).toFixed(2);
  },
};

qlive.on("signedOut", () => (signingIn = null));

module.exports = account;
