// Errors of the SDK. Check `error.name`: instanceof may not work in a mini-program compiled to ES5.

/** Refusal by the server: `code` is for programs, `message` for users. */
export class Refused extends Error {
  constructor({ status, code, detail, fields, retryAfter, requestId }) {
    super(detail);
    this.name = "Refused";
    this.status = status;
    this.code = code;
    this.fields = fields || {};
    this.retryAfter = retryAfter || 0; // seconds
    this.requestId = requestId || "";
  }
}

/** Whether an error is a refusal by the server, with this code if one is given. */
export function isRefused(error, code) {
  return Boolean(error) && error.name === "Refused" && (code === undefined || error.code === code);
}

/** No response, or one that is not from QLive: the request may or may not have been executed. */
export class Unreachable extends Error {
  constructor(message, status, requestId) {
    super(message);
    this.name = "Unreachable";
    this.status = status || 0;
    this.requestId = requestId || "";
  }
}

/** A picture that is not uploaded; `code`: too_big, wrong_type or refused. */
export class UploadFailed extends Error {
  constructor(code, message) {
    super(message);
    this.name = "UploadFailed";
    this.code = code;
  }
}

/** A payment that WeChat refuses; `code` is WeChat's errCode, 0 if it gives none. */
export class PaymentFailed extends Error {
  constructor(code, message) {
    super(message);
    this.name = "PaymentFailed";
    this.code = code;
  }
}

/** A gift without a response; it stays in storage, and `gifts.resume()` retries it. */
export class Unanswered extends Error {
  constructor(gift, cause) {
    super("The gift " + gift.request_id + " has no answer yet: " + cause.message);
    this.name = "Unanswered";
    this.gift = gift;
    this.cause = cause;
  }
}

/** A frame that does not follow the previous one: events were missed. */
export class Gap extends Error {
  constructor(position, received) {
    super("received " + received + " after " + position);
    this.name = "Gap";
  }
}
