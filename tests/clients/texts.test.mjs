import assert from "node:assert/strict";
import { test } from "node:test";

import { PaymentFailed, Refused, Unanswered, Unreachable, UploadFailed } from "../../clients/miniprogram/src/errors.js";
import { errorText } from "../../clients/miniprogram/src/texts.js";

const refused = (status, code) => new Refused({ status, code, detail: "The server's words." });

test("a text names the fields that were not accepted, as the user knows them", () => {
  const fields = { age: "must be at least 18", height: "must be at most 250", iv: "too long" };
  const error = new Refused({ status: 400, code: "bad_parameter", detail: "!", fields });
  assert.equal(errorText(error), "填写的内容不对：年龄、身高");
  assert.equal(errorText(error, "en"), "Some input is invalid: age, height");
});

test("each error of the SDK has a text in the user's language, others have none", () => {
  for (const [error, chinese, english] of [
    [refused(403, "muted"), "你被禁言了", "You are muted"],
    [refused(409, "some_new_code"), "服务器没有接受这个请求", "The server did not accept the request"],
    [refused(503, "some_new_code"), "服务器暂时没有回应，请稍后再试", "The server is unavailable; try again later"],
    [refused(503, "pay_away"), "支付服务暂时没有回应", "The payment service is unavailable"],
    [new Unreachable("no response"), "没有网络，服务器没有回应", "No network: no response from the server"],
    [new Unanswered({ request_id: "r" }, new Error()), "礼物还没有回音，稍后会自动再问", "No response for the gift yet; it will be retried"],
    [new UploadFailed("too_big", ""), "图片超过 5 MB", "The picture has more than 5 MB"],
    [new PaymentFailed(-1, ""), "支付没有成功（-1）", "The payment failed (-1)"],
  ]) {
    assert.deepEqual([errorText(error), errorText(error, "en")], [chinese, english]);
  }
  assert.equal(errorText(new TypeError("a bug")), null);
});
