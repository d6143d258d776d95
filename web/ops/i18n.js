// The console's texts.

import { createI18n } from "/ops/shared/i18n.js";
import { texts } from "/ops/translations.js";

export const { language, setLanguage, t, codeText } = createI18n("qlive.ops.language", texts);
