// A bad network before the server: it cuts connections, and loses answers.

import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect } from "node:net";

export class Proxy {
  constructor(address) {
    this._to = new URL(address);
    this._lines = new Set();
    this.deaf = false;
    this.asked = []; // the paths that came through
    this.mishaps = []; // (answer, pass) => what happens to the next push_gift
    this._server = createServer((ask, answer) => this._pass(ask, answer));
    this._server.on("upgrade", (ask, line, head) => this._join(ask, line, head));
  }

  async start() {
    await once(this._server.listen(0, "127.0.0.1"), "listening");
    this.address = `http://127.0.0.1:${this._server.address().port}`;
    return this;
  }

  /** Cuts every WebSocket there is, without a word. */
  cut() {
    for (const line of this._lines) line.destroy();
  }

  stop() {
    this.cut();
    this._server.close();
    this._server.closeAllConnections();
  }

  _pass(ask, answer) {
    this.asked.push(ask.url);
    const pass = (reply) => {
      const { method, headers } = ask;
      const { hostname, port } = this._to;
      ask.pipe(request({ hostname, port, path: ask.url, method, headers }, reply));
    };
    const mishap = ask.url.includes("push_gift") && this.mishaps.shift();
    if (mishap) mishap(answer, pass);
    else {
      pass((reply) => {
        answer.writeHead(reply.statusCode, reply.headers);
        reply.pipe(answer);
      });
    }
  }

  _join(ask, line, head) {
    line.on("error", () => {});
    if (this.deaf) {
      line.destroy();
      return;
    }
    const server = connect(this._to.port, this._to.hostname);
    server.on("error", () => line.destroy());
    line.on("close", () => server.destroy());
    server.on("close", () => line.destroy());
    this._lines.add(line);
    const headers = ask.rawHeaders.reduce((text, word, n) => text + word + (n % 2 ? "\r\n" : ": "), "");
    server.write(`GET ${ask.url} HTTP/1.1\r\n${headers}\r\n`);
    server.write(head);
    line.pipe(server).pipe(line);
  }
}

/** The envelope of a server that is away. */
export function away(answer) {
  answer.writeHead(503, { "Content-Type": "application/json", "Retry-After": "1" });
  answer.end(JSON.stringify({ detail: "Later.", code: "away" }));
}

/** The server does it, and the answer is lost. */
export function lose(answer, pass) {
  pass((reply) => {
    reply.resume();
    reply.on("end", () => away(answer));
  });
}

/** The same, with a connection that breaks. */
export function breakOff(answer, pass) {
  pass((reply) => {
    reply.resume();
    reply.on("end", () => answer.destroy());
  });
}
