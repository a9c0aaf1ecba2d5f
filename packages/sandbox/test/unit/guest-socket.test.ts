import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterEach, describe, expect, it } from "vitest";

import { GuestSocket } from "../../src/frames/guest-socket.ts";

const cleanUp: (() => unknown)[] = [];

afterEach(async () => {
  for (const step of cleanUp.splice(0).toReversed()) await step();
});

/** A socket and the guest's end of it. */
const pair = async (): Promise<[GuestSocket, Socket]> => {
  const directory = await mkdtemp(path.join(tmpdir(), "ol-guest-socket-"));
  cleanUp.push(() => rm(directory, { recursive: true }));
  const server = createServer({ allowHalfOpen: true }).listen(path.join(directory, "s"));
  cleanUp.push(() => server.close());
  await once(server, "listening");
  const socket = new GuestSocket();
  cleanUp.push(() => socket.destroy());
  const accepted = once(server, "connection");
  socket.connect(path.join(directory, "s"));
  const [guest] = (await accepted) as [Socket];
  cleanUp.push(() => guest.destroy());
  await once(socket, "ready");
  return [socket, guest];
};

const failure = async (socket: Socket): Promise<NodeJS.ErrnoException> => {
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  return error;
};

describe("a socket to a guest", () => {
  it("keeps what the guest had sent when a write finds it gone", async () => {
    const [socket, guest] = await pair();
    socket.resume();
    guest.write("last ");
    guest.write(Buffer.alloc(100_000, "words"));
    guest.destroy();
    const failed = failure(socket);
    socket.write("a call");
    expect((await failed).syscall).toBe("write");
    expect(socket.rest?.toString()).toBe(`last ${"words".repeat(20_000)}`);
  });

  it("keeps it too if the guest left something unread", async () => {
    const [socket, guest] = await pair();
    guest.pause();
    socket.resume();
    socket.write("never read");
    guest.write("last words");
    guest.destroy();
    const failed = failure(socket);
    socket.write("a call");
    await failed;
    expect(socket.rest?.toString()).toBe("last words");
  });

  it("says nothing of one that is destroyed by its owner", async () => {
    const [socket, guest] = await pair();
    guest.write("unread");
    socket.destroy();
    await once(socket, "close");
    expect(socket.rest).toBeUndefined();
  });

  it("does not claim to know what lies unread in the stream itself", async () => {
    const [socket, guest] = await pair();
    socket.pause();
    guest.write("read, and waiting");
    socket.read(0);
    while (socket.readableLength === 0) await new Promise(setImmediate);
    guest.destroy();
    const failed = failure(socket);
    socket.write("a call");
    await failed;
    expect(socket.rest).toBeUndefined();
  });
});
