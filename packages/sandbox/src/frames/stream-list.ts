import type { CallStream } from "./call-stream.ts";

/**
 * The open streams in the order of their opening, linked through themselves: nothing is allocated per call, and
 * the one that is asked for is nearly always the first.
 */
export class StreamList {
  first: CallStream | undefined;
  last: CallStream | undefined;
  size = 0;

  add(stream: CallStream): void {
    stream.previous = this.last;
    if (this.last === undefined) this.first = stream;
    else this.last.next = stream;
    this.last = stream;
    this.size += 1;
  }

  remove(stream: CallStream): void {
    if (stream.previous === undefined) this.first = stream.next;
    else stream.previous.next = stream.next;
    if (stream.next === undefined) this.last = stream.previous;
    else stream.next.previous = stream.previous;
    stream.next = undefined;
    stream.previous = undefined;
    this.size -= 1;
  }

  find(id: number): CallStream | undefined {
    let stream = this.first;
    while (stream !== undefined && stream.id !== id) stream = stream.next;
    return stream;
  }
}
