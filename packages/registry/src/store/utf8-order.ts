/**
 * Compares two keys by the bytes of their UTF-8, which is how S3 sorts. JavaScript's own order is by UTF-16 units: there the
 * surrogates, which stand for what is above U+FFFF, come before U+E000, though what they stand for comes after.
 */
export const compareUtf8 = (a: string, b: string): number => {
  const common = Math.min(a.length, b.length);
  for (let at = 0; at < common; at += 1) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
};

/** Lifts the surrogates above every other unit. */
const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
