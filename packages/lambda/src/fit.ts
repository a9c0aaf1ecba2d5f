/** What fitting a tree to a trace needs, without the rest of the package: for a command that runs no lambda. */
export { MOST_LINE_CHARS, parseTraceStart } from "./trace.ts";
export * from "./zygotes/fit.ts";
export type { FitRecord } from "./zygotes/fit-problem.ts";
