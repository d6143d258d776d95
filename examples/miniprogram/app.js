const account = require("./account.js");
require("./news.js"); // toasts from the first page on
const { showError } = require("./i18n.js");

App({
  onLaunch() {
    account.ready().catch(showError);
  },
});
