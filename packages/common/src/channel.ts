import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";

/** The sending end of a channel of node:diagnostics_channel on which every message is of one type. */
export interface TypedChannel<Message> {
  /** False: nobody listens. To be asked before a message is made, so that one for nobody costs nothing. */
  readonly hasSubscribers: boolean;
  /** Calls every subscriber, one after the other. Throws nothing: what a subscriber throws ends the process, as Node has it. */
  publish(message: Message): void;
}

/** The channel of that name, the same one for everybody in this process. */
export const typedChannel = <Message>(name: string): TypedChannel<Message> => channel(name);

/** Calls `listener` with every message of a channel, whose messages it has to know; returns what ends that. */
export const listenTo = (name: string, listener: (message: never) => void): (() => void) => {
  // Nobody else sends on a channel of ours.
  const onMessage = (message: unknown): void => listener(message as never);
  subscribe(name, onMessage);
  return () => void unsubscribe(name, onMessage);
};
