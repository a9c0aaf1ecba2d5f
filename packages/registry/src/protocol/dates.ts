const AMZ_DATE = /^(?<year>\d{4})(?<month>\d\d)(?<day>\d\d)T(?<hour>\d\d)(?<minute>\d\d)(?<second>\d\d)Z$/u;

/** `20261129T093042Z` in ms since 1970; undefined if it is none. */
export const readAmzDate = (text: string): number | undefined => {
  const { year, month, day, hour, minute, second } = AMZ_DATE.exec(text)?.groups ?? {};
  if (year === undefined) return undefined;
  return numberOf(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
};

const HTTP_DATE =
  /^(?:[A-Za-z]{3}, \d\d [A-Za-z]{3} \d{4} \d\d:\d\d:\d\d GMT|[A-Za-z]+, \d\d-[A-Za-z]{3}-\d\d \d\d:\d\d:\d\d GMT|[A-Za-z]{3} [A-Za-z]{3} [ \d]\d \d\d:\d\d:\d\d \d{4})$/u;

/** One of the three forms of RFC 9110, 5.6.7, in ms since 1970; undefined if it is none. */
export const readHttpDate = (text: string): number | undefined => {
  if (!HTTP_DATE.test(text)) return undefined;
  // The last form, asctime's, names no zone and means GMT.
  return numberOf(text.endsWith("GMT") ? text : `${text} GMT`);
};

const numberOf = (text: string): number | undefined => {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
};

/** As in header fields; they know whole seconds. */
export const httpDate = (ms: number): string => new Date(ms).toUTCString();

/** As in S3's XML. */
export const isoDate = (ms: number): string => new Date(ms).toISOString();
