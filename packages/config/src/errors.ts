import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/config. */
export const CONFIG_ERRORS = {
  OL_CONFIG_NOT_FOUND: {
    causedBy: "user",
    status: 500,
    about: "The configuration file does not exist.",
  },
  OL_CONFIG_UNREADABLE: {
    causedBy: "user",
    status: 500,
    about: "The configuration file exists but could not be read; the message has the kernel's reason.",
  },
  OL_CONFIG_SYNTAX: {
    causedBy: "user",
    status: 500,
    about: "The configuration is not JSON, or not a JSON object; the message says where.",
  },
  OL_CONFIG_INVALID: {
    causedBy: "user",
    status: 500,
    about:
      "A key is unknown, not available in this version, or has a value of the wrong type or range. One line for each mistake, with the nearest valid key.",
  },
  OL_CONFIG_WORKER_USER: {
    causedBy: "user",
    status: 500,
    about:
      "The user that the worker is to become (worker_user, or the cluster directory's owner) does not exist, or cannot read what a worker needs; the message says what.",
  },
  OL_CONFIG_WRITE_FAILED: {
    causedBy: "system",
    status: 500,
    about: "The configuration could not be written; the old one is untouched.",
  },
  OL_CONFIG_LOG_OUTPUT: {
    causedBy: "user",
    status: 500,
    about: "The file named by log_output cannot be opened for writing.",
  },
} as const;

export type ConfigErrorCode = keyof typeof CONFIG_ERRORS;
export const configError: ErrorFactory<typeof CONFIG_ERRORS> = errorFactory(CONFIG_ERRORS);
