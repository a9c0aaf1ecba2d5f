// Writes docs/configuration.md from the schema. Build the package first.
import { mkdirSync, writeFileSync } from "node:fs";

import { renderConfigurationDocs } from "../dist/index.js";

const docs = new URL("../../../docs/", import.meta.url);
mkdirSync(docs, { recursive: true });
writeFileSync(new URL("configuration.md", docs), renderConfigurationDocs());
