import { randomBytes } from "node:crypto";

import type { ObjectAccess } from "./object-access.ts";
import { contentOf } from "./store-requests.ts";

/** What a store can do besides what every S3 store can. */
export interface Abilities {
  /** Whether writes with `If-None-Match: *` and `If-Match` are refused when they should be. */
  readonly conditionalWrites: boolean;
}

/** No lambda can have a name that begins with a dot. */
const PREFIX = ".ol-probe-";

/** Finds out what the store does with conditions by writing, and removing, a small object of its own. */
export const probeStore = async (objects: ObjectAccess, signal: AbortSignal): Promise<Abilities> => {
  const key = `${PREFIX}${randomBytes(12).toString("hex")}`;
  const doing = "find out what the registry can do";
  const content = contentOf(Buffer.from("{}"), "application/json");
  const put = (condition: Parameters<ObjectAccess["put"]>[3]["condition"]): Promise<boolean> =>
    objects.put(key, content, doing, { condition, signal });
  try {
    const first = await put({ none: true });
    const second = await put({ none: true });
    // The ETag of nothing that was ever written there.
    const third = await put({ etag: '"00000000000000000000000000000000"' });
    return { conditionalWrites: first && !second && !third };
  } finally {
    await objects.delete(key, doing, signal);
  }
};
