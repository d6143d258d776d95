// Phones with the example on them, each in a thread of its own; see phone.mjs for their commands.

import { join } from "node:path";
import { Worker } from "node:worker_threads";

/** `newPhone(as, data)` starts one; `end()` ends all. */
export function phones(folder) {
  const NODE_PATH = join(folder, "miniprogram_npm");
  const workers = [];

  function newPhone(as, data) {
    const env = { ...process.env, NODE_PATH };
    const worker = new Worker(new URL("phone.mjs", import.meta.url), { env, workerData: { folder, as, ...data } });
    const calls = new Map();
    workers.push(worker);
    worker.on("message", ({ id, value, error }) => {
      const { resolve, reject } = calls.get(id);
      if (error) reject(new Error(error));
      else resolve(value);
    });
    const send = (command) => (...args) =>
      new Promise((resolve, reject) => {
        calls.set(calls.size, { resolve, reject });
        worker.postMessage({ id: calls.size - 1, command, args });
      });
    return new Proxy({}, { get: (_, command) => (command === "then" ? undefined : send(command)) }); // no promise
  }

  return { newPhone, end: () => Promise.all(workers.map((worker) => worker.terminate())) };
}
