import * as assert from "node:assert/strict";
import { createHash } from "node:crypto";

import {
  type ObjectInfo,
  type ObjectPlace,
  type ObjectStore,
  type Preconditions,
  isS3Error,
} from "../../src/index.ts";
import { NEVER, bodyOf, md5Of, putOf, sha256Of } from "../support/bodies.ts";
import { naiveListing } from "../support/naive-listing.ts";
import { contentOf, filesOf, openStore } from "../support/stores.ts";

import type { Step } from "./steps.ts";

interface ModelObject {
  readonly content: string;
  readonly etag: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The upload that made it, and the etags of its parts. */
  readonly made?: { readonly upload: number; readonly parts: string };
}

interface ModelUpload {
  readonly id: string;
  readonly key: string;
  readonly parts: Map<number, string>;
  state: "open" | "over";
}

const LIMITS = { minPartBytes: 1 };

/** A store and what should be in it. */
export class World {
  readonly #directory: string;
  #store: ObjectStore;
  readonly #objects = new Map<string, ModelObject>();
  readonly #uploads: ModelUpload[] = [];

  private constructor(directory: string, store: ObjectStore) {
    this.#directory = directory;
    this.#store = store;
  }

  static async open(directory: string): Promise<World> {
    return new World(directory, await openStore(directory, LIMITS));
  }

  async end(): Promise<void> {
    await this.#store.close();
  }

  /** Does the step to both, and compares what comes out. */
  async take(step: Step): Promise<void> {
    if (step.do === "put") await this.#put(step);
    else if (step.do === "copy") await this.#copy(step);
    else if (step.do === "delete") await this.#delete(step);
    else if (step.do === "list") this.#list(step);
    else if (step.do === "begin") await this.#begin(step.key);
    else if (step.do === "part") await this.#part(step);
    else if (step.do === "complete") await this.#complete(step);
    else if (step.do === "abort") await this.#abort(step.upload);
    else await this.#reopen();
  }

  /** Everything that is there is what should be there, in memory and on the disk. */
  async check(): Promise<void> {
    let bytes = 0;
    const digests = new Set<string>();
    for (const [key, { content, etag, headers }] of this.#objects) {
      const info = this.#store.head("code", key);
      contains(info, {
        key,
        size: Buffer.byteLength(content),
        etag,
        digest: sha256Of(content),
        headers,
      });
      assert.equal((await contentOf(this.#store, key)).toString(), content);
      bytes += info.size;
      digests.add(info.digest);
    }
    const open = this.#uploads.filter(({ state }) => state === "open");
    for (const { parts } of open) for (const content of parts.values()) digests.add(sha256Of(content));
    contains(this.#store.stats(), {
      objects: this.#objects.size,
      bytes,
      blobs: digests.size,
      uploads: open.length,
      quarantined: 0,
    });
    const blobs = filesOf(this.#directory, "blobs").map((file) => file.slice(-64));
    assert.deepEqual(blobs.sort(), [...digests].sort());
    assert.equal(filesOf(this.#directory, "records").length, this.#objects.size);
    assert.deepEqual(filesOf(this.#directory, "tmp"), []);
    const records = open.reduce((sum, { parts }) => sum + 1 + parts.size, 0);
    assert.equal(filesOf(this.#directory, "uploads").length, records);
  }

  async #put({ key, content, headers, conditions }: Extract<Step, { do: "put" }>): Promise<void> {
    const before = this.#objects.get(key);
    const given = named(conditions, before?.etag);
    const result = await outcome(this.#store.put("code", key, putOf(content, { headers, ...given }), NEVER));
    if (this.#expectRefusal(result, given, before)) return;
    contains(result, { key, etag: md5Of(content) });
    this.#objects.set(key, { content, etag: md5Of(content), headers });
  }

  async #copy({ key, from, headers, conditions }: Extract<Step, { do: "copy" }>): Promise<void> {
    const source = this.#objects.get(from);
    const before = this.#objects.get(key);
    const given = named(conditions, before?.etag);
    const options = { ...(headers === undefined ? {} : { headers }), conditions: given };
    const [place, target] = [from, key].map((each) => ({ bucket: "code", key: each })) as [
      ObjectPlace,
      ObjectPlace,
    ];
    const result = await outcome(this.#store.copy(place, target, options, NEVER));
    if (source === undefined) {
      assert.equal(result, "NoSuchKey");
      return;
    }
    if (this.#expectRefusal(result, given, before)) return;
    const { content } = source;
    this.#objects.set(key, { content, etag: md5Of(content), headers: headers ?? source.headers });
  }

  async #delete({ key, conditions }: Extract<Step, { do: "delete" }>): Promise<void> {
    const before = this.#objects.get(key);
    const given = named(conditions, before?.etag);
    const result = await outcome(this.#store.delete("code", key, given));
    if (this.#expectRefusal(result, given, before)) return;
    assert.equal(result, before !== undefined);
    this.#objects.delete(key);
  }

  #list({ request }: Extract<Step, { do: "list" }>): void {
    const { objects, commonPrefixes, next } = this.#store.list("code", request);
    const found = {
      keys: objects.map(({ key }) => key),
      commonPrefixes,
      ...(next === undefined ? {} : { next }),
    };
    assert.deepEqual(found, naiveListing(this.#objects.keys(), request));
  }

  async #begin(key: string): Promise<void> {
    const id = await this.#store.createUpload("code", key, { headers: {}, algorithm: "crc32c" });
    this.#uploads.push({ id, key, parts: new Map(), state: "open" });
  }

  async #part({ upload, number, content }: Extract<Step, { do: "part" }>): Promise<void> {
    const chosen = this.#uploads[upload];
    if (chosen === undefined) return;
    const { id, key, parts } = chosen;
    const result = await outcome(this.#store.putPart("code", key, id, number, bodyOf(content), NEVER));
    if (chosen.state === "over") {
      assert.equal(result, "NoSuchUpload");
      return;
    }
    contains(result, { partNumber: number, etag: md5Of(content) });
    parts.set(number, content);
  }

  async #complete({ upload, numbers }: Extract<Step, { do: "complete" }>): Promise<void> {
    const chosen = this.#uploads[upload];
    if (chosen === undefined) return;
    const { id, key, parts } = chosen;
    const list = [...numbers].sort((a, b) => a - b);
    const contents = list.map((number) => parts.get(number));
    const etags = contents.map((content) => md5Of(content ?? "no such part"));
    const asked = list.map((partNumber, place) => ({ partNumber, etag: etags[place] as string }));
    const before = this.#objects.get(key);
    const result = await outcome(this.#store.completeUpload("code", key, id, asked, {}, undefined, NEVER));
    if (chosen.state === "over") {
      const same = before?.made?.upload === upload && before.made.parts === etags.join();
      if (same) contains(result, { key, etag: before.etag });
      else assert.equal(result, "NoSuchUpload");
      return;
    }
    if (contents.includes(undefined) || contents.slice(0, -1).includes("")) {
      assert.match(result as string, /InvalidPart|EntityTooSmall/);
      return;
    }
    const md5 = createHash("md5").update(etags.join(""), "hex").digest("hex");
    const etag = `${md5}-${etags.length}`;
    contains(result, { key, etag });
    chosen.state = "over";
    this.#objects.set(key, {
      content: contents.join(""),
      etag,
      headers: {},
      made: { upload, parts: etags.join() },
    });
  }

  async #abort(upload: number): Promise<void> {
    const chosen = this.#uploads[upload];
    if (chosen === undefined) return;
    const result = await outcome(this.#store.abortUpload("code", chosen.key, chosen.id));
    assert.equal(result, chosen.state === "over" ? "NoSuchUpload" : undefined);
    chosen.state = "over";
  }

  async #reopen(): Promise<void> {
    await this.#store.close();
    this.#store = await openStore(this.#directory, LIMITS);
  }

  /** Whether these conditions had to be refused, and were. */
  #expectRefusal(result: unknown, conditions: Preconditions, before: ModelObject | undefined): boolean {
    const meets = (etags: readonly string[]): boolean =>
      before !== undefined && (etags.includes("*") || etags.includes(before.etag));
    const { ifMatch, ifNoneMatch } = conditions;
    const refused =
      (ifMatch !== undefined && !meets(ifMatch)) || (ifNoneMatch !== undefined && meets(ifNoneMatch));
    if (refused) {
      assert.equal(
        result,
        ifMatch !== undefined && before === undefined ? "NoSuchKey" : "PreconditionFailed",
      );
    }
    return refused;
  }
}

/** Some of its fields are these. */
const contains = (value: unknown, fields: Readonly<Record<string, unknown>>): void => {
  assert.deepEqual(
    Object.fromEntries(Object.keys(fields).map((key) => [key, (value as typeof fields)[key]])),
    fields,
  );
};

/** What came out: the value, or the code of the error. */
const outcome = async (act: Promise<ObjectInfo | object | boolean | string | void>): Promise<unknown> => {
  try {
    return await act;
  } catch (error) {
    if (isS3Error(error)) return error.code;
    throw error;
  }
};

/** The conditions of a step, with `same` as the etag of what is there. */
const named = (conditions: Preconditions, etag: string | undefined): Preconditions => {
  const put = (etags: readonly string[]): string[] =>
    etags.map((each) => (each === "same" ? (etag ?? "none") : each));
  const { ifMatch, ifNoneMatch } = conditions;
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: put(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: put(ifNoneMatch) }),
  };
};
