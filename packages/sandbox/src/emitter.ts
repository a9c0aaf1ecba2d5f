import { type Logger, messageOf } from "@ol/common";

/** Event names and what their listeners are called with. */
export type EventMap<Events> = { readonly [Name in keyof Events]: readonly unknown[] };

/**
 * A small typed emitter. A listener that throws is logged and harms neither the emitter nor the other listeners.
 */
export class Emitter<Events extends EventMap<Events>> {
  readonly #listeners: { [Name in keyof Events]?: Set<(...values: Events[Name]) => void> } = {};
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Returns what removes the listener again. */
  on<Name extends keyof Events>(name: Name, listener: (...values: Events[Name]) => void): () => void {
    const listeners = (this.#listeners[name] ??= new Set());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  emit<Name extends keyof Events>(name: Name, ...values: Events[Name]): void {
    for (const listener of this.#listeners[name] ?? []) {
      try {
        listener(...values);
      } catch (error) {
        this.#logger.error(`a listener of "${String(name)}" failed`, { error: messageOf(error) });
      }
    }
  }
}
