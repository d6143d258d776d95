// Joins the modules of src/ into one CommonJS file: node build.mjs [folder, dist by default].
//
// No general bundler: it knows what these modules use (imports and exports of each other by name)
// and refuses the rest. Each module becomes a function that returns what it exports.

import { copyFileSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ENTRY = join(HERE, "src", "qlive.js");
const IMPORT = /^import \{ ([\w, ]+) \} from "(\.\/[\w-]+\.js)";\n/gm;
const PASSED_ON = /^export \{ ([\w, ]+) \} from "(\.\/[\w-]+\.js)";\n/gm;
const EXPORTED = /^export (?:async )?(?:function|class|const) (\w+)/gm;

/** The text of the one file. */
export function bundle(entry = ENTRY) {
  const modules = new Map();
  add(entry, []);
  return ['"use strict";', ...modules.values(), `module.exports = ${variable(entry)};`, ""].join("\n");

  // What a module imports stands before it, so none of them may need each other.
  function add(path, waiting) {
    if (modules.has(path)) return;
    if (waiting.includes(path)) throw new Error(`${path} imports itself, by a detour`);
    const text = readFileSync(path, "utf8");
    const at = (from) => resolve(dirname(path), from);
    const taken = [...text.matchAll(IMPORT)].map(([, names, from]) => [names, at(from)]);
    const passed = [...text.matchAll(PASSED_ON)].map(([, names, from]) => [names, at(from)]);
    for (const [, from] of [...taken, ...passed]) add(from, [...waiting, path]);
    modules.set(path, wrapped(path, text, taken, passed));
  }
}

function wrapped(path, text, taken, passed) {
  const body = text.replace(IMPORT, "").replace(PASSED_ON, "").replace(/^export /gm, "").trim();
  if (/^(import|export)\b/m.test(body) || /\bimport\(/.test(body)) {
    throw new Error(`${path} imports in a way that the build does not know`);
  }
  const exported = [
    ...[...text.matchAll(EXPORTED)].map(([, name]) => name),
    ...passed.flatMap(([names, from]) => names.split(", ").map((n) => `${n}: ${variable(from)}.${n}`)),
  ];
  return [
    `const ${variable(path)} = (function () {`,
    ...taken.map(([names, from]) => `const { ${names} } = ${variable(from)};`),
    body,
    `return { ${exported.join(", ")} };`,
    "})();",
  ].join("\n");
}

function variable(path) {
  return `$${basename(path, ".js").replace(/-/g, "_")}`;
}

/** dist/qlive.cjs for require(), dist/wx/index.js for mini-programs, which pack .js files only. */
export function build(folder) {
  const text = bundle();
  mkdirSync(join(folder, "wx"), { recursive: true });
  writeFileSync(join(folder, "qlive.cjs"), text);
  writeFileSync(join(folder, "wx", "index.js"), text);
  copyFileSync(join(HERE, "index.d.ts"), join(folder, "qlive.d.cts"));
  copyFileSync(join(HERE, "index.d.ts"), join(folder, "wx", "index.d.ts"));
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  build(resolve(process.argv[2] || join(HERE, "dist")));
}
