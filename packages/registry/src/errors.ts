import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/registry that is not an answer to an S3 request (those are in s3-error.ts). */
export const REGISTRY_ERRORS = {
  OL_REGISTRY_BAD_OPTION: {
    causedBy: "user",
    status: 500,
    about: "An option of the registry has a value that cannot be used; the message names it.",
  },
  OL_REGISTRY_PORT_IN_USE: {
    causedBy: "user",
    status: 500,
    about:
      "Another process listens on the registry's port; choose another registry_port, or stop that process.",
  },
  OL_REGISTRY_CANNOT_LISTEN: {
    causedBy: "user",
    status: 500,
    about: "The registry's address cannot be listened on; the message names it and the reason.",
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
