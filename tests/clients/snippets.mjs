// Writes the snippets of the READMEs as one TypeScript module each, with what they leave to the reader.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [readme, folder] = process.argv.slice(2);
const SNIPPET = /```js\n([^]*?)```/g;
const HEAD = `
declare const page: any;
declare const live_id: number, user_id: string, gift_id: number, block_id: number, income: number;
declare const name: string, id_number: string, request_id: string, text: string, tempFilePath: string, avatarUrl: string;
declare const activity_id: string, gift_gold: number, day_gold: number, month_gold: number, appId: string, code: string;
declare const qlive: import("qlive-miniprogram").Client;
declare const room: import("qlive-miniprogram").RoomSocket;
`;

const declared = (code, word) => new RegExp(`^(const|import) [^;]*\\b${word}\\b[^;]*(=|from )`, "m").test(code);

[...readFileSync(readme, "utf8").matchAll(SNIPPET)].forEach(([, snippet], number) => {
  // TypeScript types \`require\` as an import.
  const code = snippet.replace(/^const (\{.*\}) = require\((".*")\);/gm, "import $1 from $2;");
  const head = HEAD.split("\n").filter((line) => {
    const [, word] = /^declare const (qlive|room):/.exec(line) || [];
    return !word || !declared(code, word);
  });
  const imports = code.match(/^import .*$/gm) || [];
  const body = code.replace(/^import .*$/gm, "");
  const module = [...imports, ...head, "export async function snippet() {", body, "}"].join("\n");
  writeFileSync(join(folder, `snippet_${number}.ts`), module);
});
