// Bundles the modules of src/ into one CommonJS file: node build.mjs [folder, dist by default].
//
// Not a general bundler: supports only the named imports and exports that these modules use, and
// throws on anything else. Each module becomes a function that returns its exports.

import { mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ENTRY = join(HERE, "src", "qlive.js");
const IMPORT = /^import \{ ([\w, ]+) \} from "(\.\/[\w-]+\.js)";\n/gm;
const FORWARD = /^export \{ ([\w, ]+) \} from "(\.\/[\w-]+\.js)";\n/gm;
const EXPORT = /^export (?:async )?(?:function|class|const) (\w+)/gm;

/** Text of the bundle. */
export function bundle(entry = ENTRY) {
  const modules = new Map();
  add(entry, []);
  return ['"use strict";', ...modules.values(), `module.exports = ${moduleId(entry)};`, ""].join("\n");

  // Adds a module after its imports, so circular imports are not possible.
  function add(path, importers) {
    if (modules.has(path)) return;
    if (importers.includes(path)) throw new Error(`${path} has a circular import`);
    const text = readFileSync(path, "utf8");
    const toPath = (from) => resolve(dirname(path), from);
    const imports = [...text.matchAll(IMPORT)].map(([, names, from]) => [names, toPath(from)]);
    const forwarded = [...text.matchAll(FORWARD)].map(([, names, from]) => [names, toPath(from)]);
    for (const [, from] of [...imports, ...forwarded]) add(from, [...importers, path]);
    modules.set(path, wrapModule(path, text, imports, forwarded));
  }
}

function wrapModule(path, text, imports, forwarded) {
  const body = text.replace(IMPORT, "").replace(FORWARD, "").replace(/^export /gm, "").trim();
  if (/^(import|export)\b/m.test(body) || /\bimport\(/.test(body)) {
    throw new Error(`${path} uses an import or export form that the build does not support`);
  }
  const exported = [
    ...[...text.matchAll(EXPORT)].map(([, name]) => name),
    ...forwarded.flatMap(([names, from]) => names.split(", ").map((n) => `${n}: ${moduleId(from)}.${n}`)),
  ];
  return [
    `const ${moduleId(path)} = (function () {`,
    ...imports.map(([names, from]) => `const { ${names} } = ${moduleId(from)};`),
    body,
    `return { ${exported.join(", ")} };`,
    "})();",
  ].join("\n");
}

function moduleId(path) {
  return `$${basename(path, ".js").replace(/-/g, "_")}`;
}

/** The declarations as one file. */
function types() {
  const [api, index] = ["api.d.ts", "index.d.ts"].map((name) => readFileSync(join(HERE, name), "utf8"));
  return api + index.replace(/^.* from "\.\/api\.js";\n/gm, "");
}

/** Writes dist/qlive.cjs for require() and dist/wx/index.js: mini-programs pack .js files only. */
export function build(folder) {
  const text = bundle();
  mkdirSync(join(folder, "wx"), { recursive: true });
  writeFileSync(join(folder, "qlive.cjs"), text);
  writeFileSync(join(folder, "wx", "index.js"), text);
  writeFileSync(join(folder, "qlive.d.cts"), types());
  writeFileSync(join(folder, "wx", "index.d.ts"), types());
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  build(resolve(process.argv[2] || join(HERE, "dist")));
}
