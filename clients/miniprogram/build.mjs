// Bundles src/ into dist/qlive.cjs for require() and dist/wx/index.js: mini-programs pack .js files
// only. Beside each are the declarations, as one file.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const [api, index] = ["api.d.ts", "index.d.ts"].map((name) => readFileSync(name, "utf8"));
const types = api + index.replace(/^(import|export) [^;]* from "\.\/api\.js";\n/gm, "");
for (const [bundle, declarations] of [["dist/qlive.cjs", "dist/qlive.d.cts"], ["dist/wx/index.js", "dist/wx/index.d.ts"]]) {
  buildSync({
    entryPoints: ["src/qlive.js"],
    outfile: bundle,
    bundle: true,
    format: "cjs",
    minify: true,
    sourcemap: true,
    target: "es2017",
  });
  writeFileSync(declarations, types);
}
