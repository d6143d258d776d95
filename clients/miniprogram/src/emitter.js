// Event emitter that isolates listeners: an exception in one does not reach the others.

export class Emitter {
  constructor(setTimeout) {
    this._listeners = {};
    this._setTimeout = setTimeout;
  }

  /** Adds a listener; the returned function removes it. */
  on(name, listener) {
    this._listeners[name] = (this._listeners[name] || []).concat([listener]);
    return () => this.off(name, listener);
  }

  /** Adds a listener for the next event only; the returned function removes it. */
  once(name, listener) {
    const first = (...args) => {
      this.off(name, first);
      listener(...args);
    };
    first.listener = listener;
    return this.on(name, first);
  }

  /** Removes a listener that `on` or `once` has added. */
  off(name, listener) {
    const others = (this._listeners[name] || []).filter(
      (other) => other !== listener && other.listener !== listener,
    );
    this._listeners[name] = others;
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
