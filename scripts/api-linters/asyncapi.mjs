// Checks the AsyncAPI document that is named by the rules of AsyncAPI's own parser.
import { readFileSync } from "node:fs";

import { Parser } from "@asyncapi/parser";

const WARNING = 1; // below it are errors, above it remarks: that a newer AsyncAPI exists
const found = await new Parser().validate(readFileSync(process.argv[2], "utf8"));
const wrong = found.filter(({ severity }) => severity <= WARNING);
for (const { code, path, message } of wrong) {
  console.error(`${path.join(".")}: ${message} (${code})`);
}
process.exit(wrong.length ? 1 : 0);
