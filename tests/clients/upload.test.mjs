import assert from "node:assert/strict";
import { test } from "node:test";

import { browserPlatform, createClient, wxPlatform } from "../../clients/miniprogram/src/qlive.js";
import { FakeDevice } from "./fakes.mjs";

const FIELDS = { key: "uploads/face/1/a.jpg", policy: "p" };
const TICKET = { status: 200, json: { url: "https://cos", key: FIELDS.key, fields: FIELDS, seconds: 600 } };
const CHANGED = { status: 200, json: { face_url: "https://cos/pictures/face/1/b.jpg" } };

/** A phone with one temporary file, whose upload COS answers with `status` and `data`. */
function newPhone(file, { statusCode = 200, data = "", errMsg } = {}) {
  const device = new FakeDevice();
  device.responses.push(TICKET, CHANGED);
  device.uploads = [];
  const wx = {
    getFileSystemManager: () => ({ getFileInfo: ({ success }) => success({ size: file.size }) }),
    getImageInfo: ({ success, fail }) => (file.type ? success({ type: file.type }) : fail({ errMsg: "no" })),
    uploadFile({ success, fail, ...upload }) {
      device.uploads.push(upload);
      if (errMsg) fail({ errMsg });
      else success({ statusCode, data });
    },
  };
  const { picture, upload } = wxPlatform(wx);
  Object.assign(device.platform, { picture, upload });
  device.client = createClient({ base: "https://example.com/wx/api/qlive", platform: device.platform });
  return device;
}

test("a temporary file is uploaded with the ticket's fields and then named by its key", async () => {
  const device = newPhone({ size: 9, type: "jpeg" });
  assert.deepEqual(await device.client.uploadFace("wxfile://tmp_1"), CHANGED.json);
  const [{ url, filePath, name, formData }] = device.uploads;
  assert.deepEqual([url, filePath, name, formData], ["https://cos", "wxfile://tmp_1", "file", FIELDS]);
  const sent = device.requests.map(({ data }) => data);
  assert.deepEqual(sent, [{ kind: "face", type: "image/jpeg", size: 9 }, { face_url: FIELDS.key }]);
  const host = newPhone({ size: 9, type: "png" });
  await host.client.uploadCover(7, "wxfile://tmp_1");
  assert.equal(host.requests[0].data.kind, "cover");
  assert.deepEqual(host.requests[1].data, { live_id: 7, room_image: FIELDS.key });
});

test("the type of a picture is what WeChat recognizes, or else its extension", async () => {
  for (const [type, path, expected] of [
    ["jpeg", "wxfile://tmp_1.png", "image/jpeg"],
    ["unknown", "http://tmp/1.webp", "image/webp"],
    ["", "http://tmp/1.JPG", "image/jpeg"],
  ]) {
    const device = newPhone({ size: 9, type });
    await device.client.uploadFace(path);
    assert.equal(device.requests[0].data.type, expected);
  }
});

test("pictures of another type or of more than 5 MB are not sent", async () => {
  const failed = (code) => ({ name: "UploadFailed", code });
  const animated = newPhone({ size: 9, type: "gif" });
  await assert.rejects(animated.client.uploadFace("wxfile://tmp_1.gif"), failed("wrong_type"));
  const big = newPhone({ size: 5 * 1024 * 1024 + 1, type: "png" });
  await assert.rejects(big.client.uploadFace("wxfile://tmp_1.png"), failed("too_big"));
  assert.equal(animated.requests.length + big.requests.length, 0);
});

test("a refusal of COS and a lost connection are told apart, and change nothing", async () => {
  const data = "<Error><Code>AccessDenied</Code></Error>";
  for (const [answer, expected] of [
    [{ statusCode: 403, data }, { name: "UploadFailed", code: "refused", message: /AccessDenied/ }],
    [{ statusCode: 502, data: "" }, { name: "UploadFailed", code: "refused", message: /HTTP 502/ }],
    [{ errMsg: "uploadFile:fail timeout" }, { name: "Unreachable", message: /timeout/ }],
  ]) {
    const device = newPhone({ size: 9, type: "jpeg" }, answer);
    await assert.rejects(device.client.uploadFace("wxfile://tmp_1"), expected);
    assert.equal(device.requests.length, 1);
  }
});

test("a browser knows type and size of a Blob", async () => {
  const picture = new Blob(["12345"], { type: "image/png" });
  assert.deepEqual(await browserPlatform().picture(picture), { type: "image/png", size: 5 });
});
