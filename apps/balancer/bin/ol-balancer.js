#!/usr/bin/env node
// Checked-in JavaScript: package managers link bins before anything is built.
import { existsSync } from "node:fs";

const built = new URL("../dist/index.js", import.meta.url);
if (existsSync(built)) {
  const { main } = await import(built.href);
  await main();
} else {
  process.stderr.write("ol-balancer is not built yet; run this in the repository: pnpm build\n");
  process.exitCode = 1;
}
