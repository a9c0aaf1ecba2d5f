import { describe } from "vitest";

import { describeImportCode } from "./security/suite-import-code.ts";
import { describeZygoteImports } from "./security/suite-zygote-imports.ts";
import { describeZygotes } from "./security/suite-zygotes.ts";

// Run as root, the engine runs in a child process as a user that is in no /etc/passwd.
describe("zygotes with packages, with a worker run as an ordinary user", () => {
  describeZygotes("rootless");
  describeZygoteImports("rootless");
  describeImportCode("rootless");
});
