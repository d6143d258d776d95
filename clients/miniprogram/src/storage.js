// Storage that never fails: where the phone keeps nothing, it is kept until the app ends.

export function storageOver(get, set, remove) {
  const memory = new Map();
  const attempt = (keep, otherwise) => {
    try {
      return keep();
    } catch (full) {
      return otherwise;
    }
  };
  return {
    get(key) {
      if (memory.has(key)) return memory.get(key);
      const text = attempt(() => get(key), "");
      return attempt(() => JSON.parse(text), null);
    },
    set(key, value) {
      memory.delete(key);
      const text = JSON.stringify(value);
      if (!attempt(() => (set(key, text), true), false)) memory.set(key, JSON.parse(text));
    },
    remove(key) {
      memory.delete(key);
      attempt(() => remove(key));
    },
  };
}
