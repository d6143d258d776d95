// The control port of control.py: `L` requests a line of JSON about this process, `G` the same
// after a garbage collection (needs node --expose-gc), and any other byte an event.
import { createServer } from "node:net";
import { monitorEventLoopDelay } from "node:perf_hooks";

export const EVENT = process.env.BENCH_EVENT;
const [G, L] = Buffer.from("GL");

export function serveControl(port, publish) {
  const loopDelay = monitorEventLoopDelay({ resolution: 1 });
  loopDelay.enable();
  const figures = () => {
    const { user, system } = process.cpuUsage();
    const maxDelay = Math.max(0, loopDelay.max / 1e6 - 1);
    loopDelay.reset();
    return { blocked_ms: maxDelay, cpu: (user + system) / 1e6, rss: process.memoryUsage.rss() };
  };
  const server = createServer((socket) => {
    socket.on("data", (data) => {
      for (const byte of data) {
        if (byte === G) globalThis.gc();
        if (byte === G || byte === L) socket.write(`${JSON.stringify(figures())}\n`);
        else publish();
      }
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const { rss, cpu } = figures();
    console.log(JSON.stringify({ port, control: server.address().port, rss, cpu }));
  });
}
