// Why a withdrawal was not paid, from the codes of WeChat Pay and of the server.

const SERVER_REASONS = ["cancelled", "refund_case"];

/**
 * name, limit, expired, cancelled, refund_case, platform or other; "" if there is no code.
 *
 * `platform`: WeChat blames the merchant, not the user. Without a code, `reason` may be an
 * operator's text.
 */
export function failureOf({ fail_reason: code, reason }) {
  if (!code) return SERVER_REASONS.includes(reason) ? reason : "";
  if (["NAME_NOT_CORRECT", "REAL_NAME_CHECK_FAIL"].includes(code)) return "name";
  if (/_(QUOTA|COUNT)_EXCEED$|^BLOCK_B2C_/.test(code)) return "limit";
  if (code === "OVERDUE_CLOSE") return "expired";
  if (code === "MCH_CANCEL") return "cancelled";
  return /^(PAYER|MERCHANT|PRODUCT)_/.test(code) ? "platform" : "other";
}
