// Who wants to hear of what. A listener that breaks does not break the one who tells.

export class Emitter {
  constructor(later) {
    this._ears = {};
    this._later = later;
  }

  /** Listens until the returned function is called. */
  on(name, ear) {
    this._ears[name] = (this._ears[name] || []).concat([ear]);
    return () => {
      this._ears[name] = this._ears[name].filter((other) => other !== ear);
    };
  }

  emit(name, ...said) {
    for (const ear of this._ears[name] || []) {
      try {
        ear(...said);
      } catch (error) {
        // Thrown where the app's own handler of errors sees it.
        this._later(() => {
          throw error;
        }, 0);
      }
    }
  }
}
