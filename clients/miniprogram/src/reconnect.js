// The rule by which a client reconnects to a room. Python clients read this table as JSON.
//
// base_ms, max_ms, min_ms: a delay is random between min_ms and a bound, which is base_ms at first,
//     doubles with each failure, and is at most max_ms.
// stable_ms: a connection that was live for this long ends the series of failures.
// attempts_per_minute: without this limit, short random delays would flood a server that accepts
//     and closes at once.
// token_code: the token was refused; the client reconnects with another one only.
// final_from, final_to: close codes after which no client reconnects. All others, below 4500, are
//     followed by a resume.
// final_codes: those that are in use, by the server's names.

export const RECONNECT = {
  "base_ms": 500,
  "max_ms": 20000,
  "min_ms": 100,
  "stable_ms": 30000,
  "attempts_per_minute": 10,
  "token_code": 4401,
  "final_from": 4500,
  "final_to": 4999,
  "final_codes": {
    "4500": "bad_frames",
    "4503": "put_out",
    "4504": "not_a_member",
    "4509": "replaced",
    "4510": "ended"
  }
};
