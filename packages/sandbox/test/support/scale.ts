/** Set by scripts/soaks: the tests of this name at full size. Without it they do about a tenth. */
const soak = process.env["OL_TEST_SOAK"] === "1";

/** What holds in everyday runs, or in a soak. */
export const scaled = <Value>(everyday: Value, inSoak: Value): Value => (soak ? inSoak : everyday);

/** How many times longer things may take here; set by scripts/soaks/guest.sh, for an emulated machine. */
export const SLOWNESS: number = Number(process.env["OL_TEST_SLOWNESS"] ?? "1");
