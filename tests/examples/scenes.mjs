// Writes moments of the running example as HTML into a folder, for test_pages.py, which shows them in Chromium.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { buildApp, resolveRpx } from "./build.mjs";
import { phones } from "./phones.mjs";

const OUTPUT = process.argv[2];
const folder = mkdtempSync(join(tmpdir(), "qlive-scenes-"));
const ROOM = ["open", "/pages/room/room?live_id=1", true];
const RUNS = ["fireAll", "seat--video", "statechange", { code: 2004 }];
const PUSHES = ["fireAll", "seat--video", "statechange", { code: 1002 }];
const JOINED = [["settle"], ["attribute", "main--say", "placeholder", /./]];
const tap = (text) => ["tap", text];
const SHEETS = {
  host: { 排麦: "queue", 观众: "audience", 画面: "own-video", 更多: "settings" },
  male: { 排麦: "queue", 画面: "own-video", 送礼: "gifts" },
  viewer: { 排麦: "queue", 送礼: "gifts" },
};
const PAGES = ["list", "me", "recharge", "wallet", "about"];

async function write(phone, name, steps) {
  for (const [command, ...args] of steps) await phone[command](...args);
  writeFileSync(join(OUTPUT, `${name}.html`), await phone.html());
}

buildApp(folder, "http://server.invalid");
resolveRpx(folder);
const { newPhone, end } = phones(folder);
try {
  await Promise.all(
    Object.keys(SHEETS).map(async (role) => {
      const phone = newPhone(role, { scene: { role, applicants: 0 } });
      await phone.launch();
      for (const applicants of [0, 8, 30]) {
        const entered = [["set", { scene: { role, applicants } }], ROOM, ["sees", "周五相亲"], ...JOINED, RUNS, PUSHES, ["frames"]];
        await write(phone, `${role}-${applicants}`, entered);
        const sheets = Object.entries(SHEETS[role]).filter(([, sheet]) => applicants === 30 || sheet === "queue");
        for (const [text, sheet] of sheets) {
          await write(phone, `${role}-${applicants}-${sheet}`, [tap(text), ["sees", text], ["settle"]]);
          await phone.fire("sheet--mask", "tap");
        }
      }
      if (role !== "viewer") return;
      for (const page of PAGES) await write(phone, page, [["open", `/pages/${page}/${page}`, true], ["settle"]]);
      const moments = {
        connecting: { state: "connecting" },
        away: { room: { status: "paused" } },
        empty: { room: { male: null, female: null } },
        invited: { invited: true },
      };
      for (const [name, moment] of Object.entries(moments)) {
        await write(phone, name, [["set", { scene: { role, applicants: 3, ...moment } }], ROOM, ["settle"]]);
      }
      await write(phone, "preview", [tap("接受"), ["settle"]]);
      await write(phone, "ended", [["set", { scene: { role } }], ROOM, ["sees", "周五相亲"], ["frame", "live_end", { reason: "host" }], ["settle"]]);
    }),
  );
} finally {
  await end();
  rmSync(folder, { recursive: true });
}
