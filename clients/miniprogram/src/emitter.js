// Event emitter that isolates listeners: an exception in one does not reach the others.

export class Emitter {
  constructor(setTimeout) {
    this._listeners = {};
    this._setTimeout = setTimeout;
  }

  /** Adds a listener; the returned function removes it. */
  on(name, listener) {
    this._listeners[name] = (this._listeners[name] || []).concat([listener]);
    return () => {
      this._listeners[name] = this._listeners[name].filter((other) => other !== listener);
    };
  }

  emit(name, ...args) {
    for (const listener of this._listeners[name] || []) {
      try {
        listener(...args);
      } catch (error) {
        // Rethrown asynchronously, where the app's global error handler receives it.
        this._setTimeout(() => {
          throw error;
        }, 0);
      }
    }
  }
}
