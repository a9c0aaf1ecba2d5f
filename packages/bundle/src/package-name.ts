/** The longest on PyPI has 80 characters; names become those of directories. */
const MAX_LENGTH = 128;
const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/u;
const NORMALIZED = /^[a-z0-9]+(?:-[a-z0-9]+)*$/u;

/** Whether it is the name of a Python package, spelled in any way (PEP 508). */
export const isPackageName = (text: string): boolean => text.length <= MAX_LENGTH && NAME.test(text);

/** The one spelling of a package's name: `Foo__Bar.baz` is `foo-bar-baz` (PEP 503). */
export const normalizePackageName = (name: string): string => name.toLowerCase().replaceAll(/[-_.]+/gu, "-");

/** Whether it is a package's name in that spelling. */
export const isNormalizedPackageName = (text: string): boolean =>
  text.length <= MAX_LENGTH && NORMALIZED.test(text);
