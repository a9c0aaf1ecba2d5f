// The engine as another user: started by host.ts with that user's ids, in a copy of the built packages.
import { SandboxPool, SockEngine } from "@ol/sandbox";

import { createDriver } from "./driver.mjs";

const driver = createDriver({ SockEngine, SandboxPool });

const answer = async ({ id, method, parameters }) => {
  try {
    process.send({ id, result: await driver.request(method, parameters) });
  } catch (error) {
    process.send({ id, error: `${error.code ?? "?"}: ${error.message}` });
  }
};
process.on("message", (request) => void answer(request));
process.on("disconnect", () => process.exit(0));
process.send({ id: 0 });
