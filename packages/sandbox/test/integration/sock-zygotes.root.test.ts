import { describe } from "vitest";

import { describeImportCode, describeSilence } from "./security/suite-import-code.ts";
import { describeZygoteImports } from "./security/suite-zygote-imports.ts";
import { describeZygotes } from "./security/suite-zygotes.ts";

describe("zygotes with packages, with a worker run as root", () => {
  describeZygotes("root");
  describeZygoteImports("root");
  describeImportCode("root");
  describeSilence("root");
});
