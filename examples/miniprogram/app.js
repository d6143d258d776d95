const account = require("./account.js");
const { tell } = require("./words.js");

App({
  onLaunch() {
    account.ready().catch(tell);
  },
});
