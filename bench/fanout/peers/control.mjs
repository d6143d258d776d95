// The same control as control.py: one byte an event, L for a line about this process, G for one after
// its garbage is collected (node --expose-gc).
import { createServer } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";

export const EVENT = process.env.BENCH_EVENT;

export function control(port, tell) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const figures = () => {
    const { user, system } = process.cpuUsage();
    const blocked = Math.max(0, delay.max / 1e6 - 1);
    delay.reset();
    return { blocked_ms: blocked, cpu: (user + system) / 1e6, rss: process.memoryUsage.rss() };
  };
  const server = createServer((socket) => {
    socket.on("data", (data) => {
      for (const byte of data) {
        if (byte === 71) globalThis.gc();
        if (byte === 71 || byte === 76) socket.write(`${JSON.stringify(figures())}\n`);
        else tell();
      }
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const { rss, cpu } = figures();
    console.log(JSON.stringify({ port, control: server.address().port, rss, cpu }));
  });
}
