// A registry as a process: node registry-process.mjs LIBRARY DIRECTORY PORT KEYS. Says its port when it listens, and then
// what each request did and its status, one a line. Over the channel it is told what to do to objects behind the clients' backs.
import { createReadStream } from "node:fs";

const [library, directory, port, keys] = process.argv.slice(2);
const { ObjectStore, RegistryServer } = await import(library);
const store = await ObjectStore.open({ directory });
const server = await RegistryServer.start({
  store,
  keys: JSON.parse(keys),
  addresses: ["127.0.0.1"],
  port: Number(port),
  logger: {
    debug: (_, { operation, status }) => process.stdout.write(`${operation} ${status}\n`),
    info: () => undefined,
    warn: () => undefined,
    error: (message, fields) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
  },
});
const byHand = async ({ bucket, key, file }) => {
  const never = new AbortController().signal;
  const bytes = file === undefined ? undefined : createReadStream(file);
  if (bytes === undefined) await store.delete(bucket, key);
  else
    await store.put(
      bucket,
      key,
      { headers: {}, body: { bytes, algorithms: [], verify: () => undefined } },
      never,
    );
  process.send("done");
};
process.on("message", (deed) => void byHand(deed));
process.stdout.write(`${server.port}\n`);
