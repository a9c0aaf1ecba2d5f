import { readdirSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";

import { isLambdaName } from "@ol/bundle";
import { systemReason } from "@ol/common";

import { adminError } from "../errors.ts";
import { shown } from "../text.ts";

/** The lambda that serves an application's page is called so, behind the application's name. */
export const STATIC = "static";

/** What an application's directory holds. */
export interface Application {
  readonly name: string;
  /** Absolute. */
  readonly directory: string;
  /** Names of the directories in `handlers`. */
  readonly handlers: readonly string[];
  /** Absolute path of the program that prepares what the handlers need, if there is one. */
  readonly setup: string | undefined;
  /** Absolute path of the directory with its page, if there is one. */
  readonly page: string | undefined;
}

const bad = (message: string, cause?: unknown): Error =>
  adminError("OL_ADMIN_BAD_APP", message, cause === undefined ? {} : { cause });

/** What an application in `directory` is called. */
export const applicationName = (cwd: string, directory: string): string => {
  const name = basename(resolve(cwd, directory));
  if (!isLambdaName(name))
    throw bad(
      `${shown(name)} cannot begin the names of lambdas; rename the directory: letters, digits, '.', '-', '_'`,
    );
  return name;
};

/** The lambda that one of the application's handlers is. */
export const lambdaOf = (application: string, handler: string): string => `${application}-${handler}`;

const handlersIn = (directory: string): string[] => {
  const path = join(directory, "handlers");
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    throw bad(
      `${shown(directory)} is no application: handlers cannot be read: ${systemReason(error)}; each directory in handlers is a lambda`,
      error,
    );
  }
};

/** Reads what is in an application's directory. Fails with OL_ADMIN_BAD_APP. */
export const readApplication = (cwd: string, given: string): Application => {
  const directory = resolve(cwd, given);
  const name = applicationName(cwd, given);
  const handlers = handlersIn(directory);
  const pagePath = join(directory, STATIC);
  const page = statSync(pagePath, { throwIfNoEntry: false })?.isDirectory() === true ? pagePath : undefined;
  if (handlers.length === 0)
    throw bad(`there is no directory in ${join(directory, "handlers")}; each one is a lambda`);
  for (const handler of handlers)
    if (!isLambdaName(lambdaOf(name, handler)))
      throw bad(`the handler ${shown(handler)} cannot be a lambda's name: letters, digits, '.', '-', '_'`);
  if (page !== undefined && handlers.includes(STATIC))
    throw bad(`the handler ${STATIC} has the name of the lambda that serves ${page}; rename one of them`);
  return { name, directory, handlers, page, setup: setupIn(directory) };
};

const setupIn = (directory: string): string | undefined => {
  const path = join(directory, "setup.sh");
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (!stats.isFile() || (stats.mode & 0o111) === 0)
    throw bad(`${path} cannot be run; make it a program: chmod +x ${path}`);
  return path;
};
