/** Set by scripts/soaks: the tests at full size. */
const soak = process.env["OL_TEST_SOAK"] === "1";

/** What holds in everyday runs, or in a soak. */
export const scaled = <Value>(everyday: Value, inSoak: Value): Value => (soak ? inSoak : everyday);

/** How many times longer things may take here. */
export const SLOWNESS: number = Number(process.env["OL_TEST_SLOWNESS"] ?? "1");

/** OL_TEST_SEED, or one that has not been used before. */
export const SEED: number = Number(process.env["OL_TEST_SEED"] ?? Date.now() % 2 ** 31);
