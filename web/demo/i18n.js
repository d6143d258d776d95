// The demo's texts, and those of errors.

import { errorText as sdkErrorText } from "/sdk/texts.js";
import { createI18n } from "/demo/shared/i18n.js";
import { texts } from "/demo/translations.js";

export const { language, setLanguage, t, codeText } = createI18n("qlive.demo.language", texts);

/** Text of an error for the user; null for an error of the page itself. */
export const errorText = (error) =>
  error.name === "ChatFailed" ? t("chat_failed", { code: error.code }) : sdkErrorText(error, language());
