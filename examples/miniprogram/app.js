const account = require("./account.js");
const { showError } = require("./i18n.js");

App({
  onLaunch() {
    account.ready().catch(showError);
  },
});
