import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/bundle. */
export const BUNDLE_ERRORS = {
  OL_BUNDLE_BAD_NAME: {
    causedBy: "user",
    status: 400,
    about:
      "A lambda's name or reference is not NAME, NAME@TAG or NAME@sha256:<64 hex>; names have letters, digits, `.`, `-` and `_`, at most 128, and do not begin with `.` or `-`.",
  },
  OL_BUNDLE_BAD_CONFIG: {
    causedBy: "user",
    status: 500,
    about:
      "ol.yaml has a mistake; each line of the message names file, line and key, and what to write instead.",
  },
  OL_BUNDLE_BAD_REQUIREMENTS: {
    causedBy: "user",
    status: 500,
    about:
      "packages.txt or requirements.txt has a line that is no requirement, or one that is not taken: an option, a path, a URL; each line of the message names file and line, what is wrong, and what to write instead.",
  },
  OL_BUNDLE_BAD_LOCK: {
    causedBy: "user",
    status: 500,
    about:
      "The lock of a lambda's packages is not as it was written; the message names the line. Delete it, and it is made anew.",
  },
  OL_BUNDLE_NOT_FOUND: {
    causedBy: "user",
    status: 404,
    about: "There is no directory with the lambda's code.",
  },
  OL_BUNDLE_UNREADABLE: {
    causedBy: "user",
    status: 500,
    about: "A file or directory of the lambda's code could not be read; the message names it and the reason.",
  },
  OL_BUNDLE_UNSAFE_FILE: {
    causedBy: "user",
    status: 500,
    about:
      "The lambda's code holds something that is neither a regular file nor a directory (a device, FIFO or socket), or a symbolic link that leads out of it, nowhere or in a circle; a packed bundle holds any link, or a name that leads out of it or is not the same everywhere.",
  },
  OL_BUNDLE_BAD_ARCHIVE: {
    causedBy: "user",
    status: 500,
    about:
      "A packed bundle is no .tar.gz, or a damaged or shortened one, or something comes behind its end. Pack the code again, or upload it again.",
  },
  OL_BUNDLE_NO_HANDLER: {
    causedBy: "user",
    status: 500,
    about:
      "The lambda's code has no file to begin with: f.py, lambda_func.py, or the one that OL_ENTRY_FILE in its ol.yaml names.",
  },
  OL_BUNDLE_TOO_LARGE: {
    causedBy: "user",
    status: 500,
    about:
      "The lambda's code has too many files, is too large, or is nested too deeply; the message names the limit.",
  },
  OL_BUNDLE_CHANGING: {
    causedBy: "user",
    status: 500,
    about:
      "The lambda's code kept changing while it was read; wait until the copy or the deployment is done.",
  },
  OL_BUNDLE_TARGET_EXISTS: {
    causedBy: "system",
    status: 500,
    about: "The directory or file that code was to be written to exists already.",
  },
  OL_BUNDLE_WRITE_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A copy of the lambda's code could not be written, for example because the disk is full.",
  },
} as const;

export type BundleErrorCode = keyof typeof BUNDLE_ERRORS;
export const bundleError: ErrorFactory<typeof BUNDLE_ERRORS> = errorFactory(BUNDLE_ERRORS);
