// Everything a call can fail with. Ask for `error.name`: a mini-program compiled to ES5 may lose
// what instanceof needs.

/** The server said no. `code` is the word for programs, `message` the sentence for people. */
export class Refused extends Error {
  constructor({ status, code, detail, fields, retryAfter }) {
    super(detail);
    this.name = "Refused";
    this.status = status;
    this.code = code;
    this.fields = fields || {};
    this.retryAfter = retryAfter || 0; // seconds
  }
}

/** No answer, or none of ours: whether the server has done it is not known. */
export class Unreachable extends Error {
  constructor(why, status) {
    super(why);
    this.name = "Unreachable";
    this.status = status || 0;
  }
}

/** A gift that is still without an answer; it stays in storage, and `gifts.resume()` asks on. */
export class Unanswered extends Error {
  constructor(gift, cause) {
    super("The gift " + gift.request_id + " has no answer yet: " + cause.message);
    this.name = "Unanswered";
    this.gift = gift;
    this.cause = cause;
  }
}

/** A frame that does not follow the one before it: something was missed. */
export class Gap extends Error {
  constructor(at, heard) {
    super("heard " + heard + " after " + at);
    this.name = "Gap";
  }
}
