// The example as DevTools runs it after 构建 npm, with the address of a server and a stand-in for chat.

import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folderOf = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const EXAMPLE = folderOf("examples/miniprogram/");
const SDK = folderOf("clients/miniprogram/");
const NOT_PACKED = /node_modules|miniprogram_npm|package(-lock)?\.json|README|pictures|\/\.|\.d\.ts$/; // as packOptions

const esbuild = createRequire(SDK)("esbuild");

/** Writes the app and its packages into `folder`. */
export function buildApp(folder, address) {
  const isPacked = (path) => !NOT_PACKED.test(`/${path.slice(EXAMPLE.length)}`);
  cpSync(EXAMPLE, folder, { recursive: true, filter: isPacked });
  writeFileSync(join(folder, "config.js"), `module.exports = ${JSON.stringify({ address, noticeTemplateId: "notice" })};`);
  const chat = readFileSync(join(folder, "chat.js"), "utf8").replace("null; //", ""); // as README says
  writeFileSync(join(folder, "chat.js"), chat);
  esbuild.buildSync({
    entryPoints: { index: join(SDK, "src/qlive.js"), texts: join(SDK, "src/texts.js") },
    outdir: join(folder, "miniprogram_npm/qlive-miniprogram"),
    bundle: true,
    charset: "utf8",
    format: "cjs",
    minify: true,
    target: "es2017",
  });
  const liteChat = join(folder, "miniprogram_npm/@tencentcloud/lite-chat");
  mkdirSync(liteChat, { recursive: true });
  cpSync(folderOf("tests/examples/lite-chat.js"), join(liteChat, "index.js"));
}

/** Replaces rpx, which Chromium does not know: 750 of them are as wide as the page. */
export function resolveRpx(folder) {
  for (const { name, parentPath } of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!/\.wx(ss|ml)$/.test(name)) continue;
    const path = join(parentPath, name);
    const text = readFileSync(path, "utf8").replace(/:host/g, name.replace(/\.wx.*/, "")); // the tag
    writeFileSync(path, text.replace(/(-?[\d.]+)rpx/g, (_, n) => `calc(${n} * var(--rpx))`));
  }
}
