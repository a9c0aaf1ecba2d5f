const soak = process.env["OL_TEST_SOAK"] === "1";

/** OL_TEST_SEED, or one that has not been used before; fast-check prints it when a property fails. */
export const SEED: number = Number(process.env["OL_TEST_SEED"] ?? Date.now() % 2 ** 31);

/** The whole number in a soak, else a tenth of it. */
export const runs = (whole: number): number => (soak ? whole : Math.ceil(whole / 10));
