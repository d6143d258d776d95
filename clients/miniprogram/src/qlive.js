// The SDK: everything that it exports. An app that imports a part of it bundles no more.

export { CALLS } from "./calls.js";
export { createClient } from "./client.js";
export { Gap, PaymentFailed, Refused, Unanswered, Unreachable, UploadFailed, isRefused } from "./errors.js";
export { begin, fold, invitation, mutedUntil, roleIn, seatOf } from "./fold.js";
export { browserPlatform } from "./platform-browser.js";
export { wxPlatform } from "./platform-wx.js";
export { RECONNECT } from "./reconnect.js";
export { RoomSocket } from "./room.js";
export { storageOver } from "./storage.js";
export { failureOf } from "./withdrawals.js";
