// ws: `send` of the same buffer to each client.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { EVENT, serveControl } from "./control.mjs";

const { WebSocketServer } = createRequire(process.env.BENCH_MODULES)("ws");
const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
const data = Buffer.from(EVENT);

http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  serveControl(http.address().port, () => {
    for (const client of server.clients) client.send(data, { binary: false });
  });
});
