// Uploads of pictures to COS, each with a form of the server.

import { Unreachable, UploadFailed } from "./errors.js";

const MAX_BYTES = 5 * 1024 * 1024;
const TYPES = ["image/jpeg", "image/png", "image/webp"];

/** Uploads a picture of a `kind` and resolves with its key; UploadFailed, Unreachable, Refused. */
export async function upload(platform, http, kind, file) {
  const { type, size } = await platform.picture(file);
  if (!TYPES.includes(type)) throw new UploadFailed("wrong_type", "not a JPEG, PNG or WebP picture");
  if (size > MAX_BYTES) throw new UploadFailed("too_big", "the picture has more than 5 MB");
  const { url, key, fields } = await http.call("uploadTicket", { kind, type, size });
  const { status, text } = await platform.upload(url, fields, file).catch((error) => {
    throw new Unreachable(error.message);
  });
  if (status >= 200 && status <= 299) return key;
  const [, reason] = /<Code>(\w+)/.exec(text) || [];
  throw new UploadFailed("refused", "COS refused the picture: " + (reason || "HTTP " + status));
}
