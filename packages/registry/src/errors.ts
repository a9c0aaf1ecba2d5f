import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/registry that is not an answer to an S3 request (those are in s3-error.ts). */
export const REGISTRY_ERRORS = {
  OL_REGISTRY_BAD_OPTION: {
    causedBy: "user",
    status: 500,
    about: "An option of the registry has a value that cannot be used; the message names it.",
  },
  OL_REGISTRY_BAD_DIRECTORY: {
    causedBy: "user",
    status: 500,
    about:
      "The registry's data directory cannot be used: it cannot be written, is something else's, or a later version's; the message says which.",
  },
  OL_REGISTRY_IN_USE: {
    causedBy: "user",
    status: 500,
    about:
      "Another registry uses the data directory. Stop that one first, or give this one a directory of its own.",
  },
} as const;

export type RegistryErrorCode = keyof typeof REGISTRY_ERRORS;
export const registryError: ErrorFactory<typeof REGISTRY_ERRORS> = errorFactory(REGISTRY_ERRORS);
