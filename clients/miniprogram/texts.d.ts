// Type declarations of qlive-miniprogram/texts: texts of errors for users.

/** By error code of the server, or of the chat: [Chinese, English]. */
export const REFUSALS: Record<string, [chinese: string, english: string]>;

/**
 * Text of an error of the SDK, in Chinese by default; null for any other error. It names the fields
 * that the server did not accept.
 */
export function errorText(error: any, language?: "zh" | "en"): string | null;
