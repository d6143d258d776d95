// Compiles the example with WeChat's own compiler, miniprogram-ci, without an account: packs npm, compiles,
// and lists the files. `node scripts/miniprogram-check.mjs CI_FOLDER`, which `make miniprogram-check` calls.

import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

// Its compiler runs in a process that it leaves behind.
const processes = createRequire(import.meta.url)("node:child_process");
const { fork } = processes;
const children = [];
processes.fork = (...args) => {
  children.push(fork(...args));
  return children.at(-1);
};
const ci = createRequire(resolve(process.argv[2], "package.json"))("miniprogram-ci");
const EXAMPLE = fileURLToPath(new URL("../examples/miniprogram", import.meta.url));
const SDK = fileURLToPath(new URL("../clients/miniprogram", import.meta.url));
// What WeChat's server would say about the app, of which there is none.
const ATTRIBUTES = {
  ...{ platform: false, appType: 0, isSandbox: false, released: false, appName: "QLive", appid: "wx0000000000000000" },
  setting: { MaxCodeSize: 2048, MaxSubpackageSubCodeSize: 2048, MaxSubpackageFullCodeSize: 20480, NavigateMiniprogramLimit: 10 },
};
const IGNORES = ["node_modules/**/*", "pictures/**/*"];

const folder = mkdtempSync(join(tmpdir(), "qlive-miniprogram-"));
try {
  const projectPath = join(folder, "app");
  const isSource = (path) => !/node_modules|miniprogram_npm/.test(path.slice(EXAMPLE.length));
  cpSync(EXAMPLE, projectPath, { recursive: true, filter: isSource });
  // As npm installs it: packed, without what only its authors need.
  const installed = join(projectPath, "node_modules/qlive-miniprogram");
  cpSync(SDK, installed, { recursive: true, filter: (path) => !path.slice(SDK.length).includes("node_modules") });
  const privateKeyPath = join(folder, "key"); // for uploads, of which there are none
  writeFileSync(privateKeyPath, "none");
  const project = new ci.Project({ appid: "wx0000000000000000", type: "miniProgram", projectPath, privateKeyPath, ignores: IGNORES });
  project.attr = async () => ATTRIBUTES;
  const warnings = await ci.packNpm(project, { ignores: [] });
  const setting = { useProjectConfig: true };
  const compiled = await ci.getCompiledResult({ project, version: "1.0.0", desc: "check", setting, onProgressUpdate() {} });
  const names = Object.keys(compiled);
  const bytes = Object.values(compiled).reduce((sum, content) => sum + Buffer.byteLength(content), 0);
  console.log(`${names.length} files, ${Math.round(bytes / 1024)} KB`);
  for (const { msg } of warnings) console.log(`warning: ${msg}`);
  process.exitCode = warnings.length ? 1 : 0;
} finally {
  children.forEach((child) => child.kill());
  rmSync(folder, { recursive: true });
}
process.exit();
