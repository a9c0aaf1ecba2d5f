// Our own server as a process: node registry-process.mjs LIBRARY DIRECTORY PORT KEYS [TLS]. Says its port when it listens.
const [library, directory, port, keys, tls] = process.argv.slice(2);
const { ObjectStore, RegistryServer } = await import(library);
const store = await ObjectStore.open({ directory });
const server = await RegistryServer.start({
  store,
  keys: JSON.parse(keys),
  addresses: ["127.0.0.1"],
  port: Number(port),
  ...(tls !== undefined && { tls: JSON.parse(tls) }),
});
process.stdout.write(`${server.port}\n`);
