// Storage that never throws: values that the device refuses are kept in memory until the app ends.

export function storageOver(get, set, remove) {
  const memory = new Map();
  const tryStorage = (action, fallback) => {
    try {
      return action();
    } catch (error) {
      return fallback;
    }
  };
  return {
    get(key) {
      if (memory.has(key)) return memory.get(key);
      const text = tryStorage(() => get(key), "");
      return tryStorage(() => JSON.parse(text), null);
    },
    set(key, value) {
      memory.delete(key);
      const text = JSON.stringify(value);
      if (!tryStorage(() => (set(key, text), true), false)) memory.set(key, JSON.parse(text));
    },
    remove(key) {
      memory.delete(key);
      tryStorage(() => remove(key));
    },
  };
}
