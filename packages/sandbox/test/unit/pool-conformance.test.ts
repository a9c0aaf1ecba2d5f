import { describe, it } from "vitest";

import { FakeEngine, describeEngineConformance } from "../../src/testing/index.ts";

describeEngineConformance("fake", () => new FakeEngine(), { describe, it }, { zygotes: true, http: true });
