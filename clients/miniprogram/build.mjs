// Bundles the entry points of src/ into dist/ for require() and dist/wx/ for mini-programs, which pack
// .js files only. Beside each bundle are its declarations, as one file.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const [api, index, texts] = ["api.d.ts", "index.d.ts", "texts.d.ts"].map((name) => readFileSync(name, "utf8"));
const types = api + index.replace(/^(import|export) [^;]* from "\.\/api\.js";\n/gm, "");
const bundles = [
  ["qlive", "dist/qlive.cjs", "dist/qlive.d.cts", types],
  ["qlive", "dist/wx/index.js", "dist/wx/index.d.ts", types],
  ["texts", "dist/texts.cjs", "dist/texts.d.cts", texts],
  ["texts", "dist/wx/texts.js", "dist/wx/texts.d.ts", texts],
];
for (const [entry, outfile, declarations, content] of bundles) {
  buildSync({
    entryPoints: [`src/${entry}.js`],
    outfile,
    absWorkingDir: process.cwd(),
    bundle: true,
    charset: "utf8",
    format: "cjs",
    minify: true,
    mangleProps: /^_[a-z]/, // private ones; the source maps have their names
    sourcemap: true,
    target: "es2017",
  });
  writeFileSync(declarations, content);
}
