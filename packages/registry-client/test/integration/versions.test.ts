import { expect, it } from "vitest";

import { bundle, soon } from "../support/bundles.ts";
import { withEveryStore } from "../support/every-store.ts";

withEveryStore(({ ready }) => {
  it("loses no version when many upload at the same time", async () => {
    const client = await ready();
    const bundles = await Promise.all(Array.from({ length: 6 }, () => bundle("a")));
    await Promise.all(bundles.map((one) => client.upload(one, { signal: soon() })));
    const versions = await client.versions("a", soon());
    expect(versions.map(({ digest }) => digest).toSorted()).toEqual(
      bundles.map(({ digest }) => digest).toSorted(),
    );
    expect(versions.filter(({ tags }) => tags.length > 0).length).toBe(1);
    expect(versions.every(({ tags, rememberedBy }) => tags.length + rememberedBy.length === 1)).toBe(true);
  });

  it("rolls back version by version, and forward by name, without sending anything", async () => {
    const client = await ready();
    const [one, two, three] = [await bundle("a"), await bundle("a"), await bundle("a")];
    for (const version of [one, two, three])
      await client.upload({ ...version, minInstances: version === two ? 3 : 0 }, { signal: soon() });
    expect(await client.rollback({ name: "a" }, soon())).toEqual({
      digest: two.digest,
      previous: three.digest,
    });
    expect(await client.minInstances(soon())).toEqual(new Map([["a", 3]]));
    expect(await client.rollback({ name: "a" }, soon())).toEqual({
      digest: one.digest,
      previous: two.digest,
    });
    await expect(client.rollback({ name: "a" }, soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_NO_VERSION",
    );
    const to = three.digest.slice(0, 12);
    expect(await client.rollback({ name: "a", to }, soon())).toMatchObject({ digest: three.digest });
    expect((await client.versions("a", soon())).length).toBe(3);
    await expect(client.rollback({ name: "a", to: "v9" }, soon())).rejects.toThrow("has no version");
    await expect(client.rollback({ name: "b" }, soon())).rejects.toHaveProperty(
      "code",
      "OL_REGISTRY_CLIENT_UNKNOWN",
    );
  });

  it("keeps the last versions if it is told how many, and removes the bundles of the others", async () => {
    const client = await ready();
    const versions = [];
    for (let count = 0; count < 4; count += 1) versions.push(await bundle("a"));
    for (const version of versions) await client.upload({ ...version, keep: 2 }, { signal: soon() });
    const left = await client.versions("a", soon());
    expect(left.map(({ digest }) => digest)).toEqual([versions[3]?.digest, versions[2]?.digest]);
    expect(left.some(({ missing }) => missing)).toBe(false);
  });

  it("lists a hundred lambdas by name", async () => {
    const client = await ready();
    const names = Array.from({ length: 100 }, (_, index) => `f${index}`);
    const one = await bundle("x");
    for (const name of names) await client.upload({ ...one, name }, { signal: soon() });
    const listed = await client.list(soon());
    expect(listed.map(({ name }) => name)).toEqual(names.toSorted());
    expect(listed[0]).toMatchObject({
      tags: [{ tag: "latest", digest: one.digest }],
      versions: 1,
      bytes: 1_000,
    });
  });
});
