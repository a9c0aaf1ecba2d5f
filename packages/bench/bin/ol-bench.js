#!/usr/bin/env node
import { main } from "../dist/index.js";

// What was started ends with this process, but not with one that a signal ends.
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

process.exitCode = await main(process.argv.slice(2));
