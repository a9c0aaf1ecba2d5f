import { type ErrorFactory, errorFactory, isOlError } from "@ol/common";

/** Every error of @ol/sandbox. `status` is what a worker answers when the error ends a request. */
export const SANDBOX_ERRORS = {
  OL_SANDBOX_BAD_OPTIONS: {
    causedBy: "user",
    status: 500,
    about:
      "An option or a field of a sandbox's description is missing or out of range; the message names it.",
  },
  OL_SANDBOX_HOST_UNFIT: {
    causedBy: "system",
    status: 500,
    about:
      "This machine lacks something that sandboxes need (Python, a kernel feature, a permission); `ol-admin doctor` says what and how to mend it.",
  },
  OL_SANDBOX_BAD_BASE: {
    causedBy: "user",
    status: 500,
    about:
      "The root file system that sandboxes were to see cannot be used; the message says why: there is no such directory, nothing in it, no Python 3.9 or newer, or one that does not start here.",
  },
  OL_SANDBOX_DIRECTORY_IN_USE: {
    causedBy: "user",
    status: 500,
    about: "Another process holds the sandbox directory's lock; stop it, or name another directory.",
  },
  OL_SANDBOX_CREATE_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A sandbox could not be made; the message names the step that failed and the kernel's reason.",
  },
  OL_SANDBOX_ZYGOTE_FAILED: {
    causedBy: "user",
    status: 500,
    about:
      "A zygote could not import its modules, took too long or too much memory for it, or is in a state afterwards that cannot be forked. The message is Python's own, or names what the import left behind.",
  },
  OL_SANDBOX_NO_ZYGOTE: {
    causedBy: "system",
    status: 503,
    about: "The zygote to fork from is not there, or no more; fork from another one.",
  },
  OL_SANDBOX_NETWORK_UNAVAILABLE: {
    causedBy: "user",
    status: 500,
    about:
      "A network was asked for that cannot be had; the message says what is missing: of `outbound` a worker started by root, nftables, or something in the kernel, and the engine `docker` has none. The sandbox is refused, never given another network.",
  },
  OL_SANDBOX_BROKER_LOST: {
    causedBy: "system",
    status: 503,
    about: "The broker ended, and with it every sandbox of this engine; a new engine has to be made.",
  },
  OL_SANDBOX_DAEMON_UNAVAILABLE: {
    causedBy: "system",
    status: 503,
    about:
      "The container daemon (Docker or Podman) cannot be reached, may not be used, or does not answer in time; the message says which, and where it was looked for. The engine goes on as soon as the daemon is back.",
  },
  OL_SANDBOX_BAD_IMAGE: {
    causedBy: "user",
    status: 500,
    about:
      "The image that containers were to be made from cannot be had or used; the message says why: it is not there and cannot be pulled or built, or has no Python 3.9 or newer that starts in it.",
  },
  OL_SANDBOX_NO_MEMORY: {
    causedBy: "system",
    status: 503,
    about: "The memory budget had no room for the sandbox before the deadline.",
  },
  OL_SANDBOX_TOO_LARGE: {
    causedBy: "user",
    status: 500,
    about: "The sandbox wants more memory than the whole budget; lower its limits or raise mem_pool_mb.",
  },
  OL_SANDBOX_RECALLED: {
    causedBy: "system",
    status: 503,
    about:
      "The call waited in a sandbox behind one that took its time, and was given back before it began; it can be run by another sandbox.",
  },
  OL_SANDBOX_DESTROYED: {
    causedBy: "user",
    status: 502,
    about: "The sandbox was destroyed before or during the call; the message says why it ended.",
  },
  OL_SANDBOX_EXITED: {
    causedBy: "user",
    status: 502,
    about: "The lambda's process ended during the call, by exit or by a signal.",
  },
  OL_SANDBOX_OUT_OF_MEMORY: {
    causedBy: "user",
    status: 502,
    about: "The lambda used more than its limits.mem_mb and was killed.",
  },
  OL_SANDBOX_OUT_OF_DISK: {
    causedBy: "user",
    status: 502,
    about:
      "The lambda had more than its limits.scratch_mb, or too many files, in its scratch directory and was killed.",
  },
  OL_SANDBOX_PAUSE_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A sandbox could not be paused; it runs on. The message gives the kernel's reason.",
  },
  OL_SANDBOX_RESUME_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A paused sandbox could not be resumed and was destroyed. The message gives the kernel's reason.",
  },
  OL_SANDBOX_TIMEOUT: {
    causedBy: "user",
    status: 504,
    about: "The call ran longer than limits.runtime_sec; its sandbox was destroyed.",
  },
  OL_SANDBOX_IMPORT_FAILED: {
    causedBy: "user",
    status: 500,
    about:
      "The lambda's code could not be loaded: syntax error, import error, or no entry point. The message is Python's own.",
  },
  OL_SANDBOX_PROTOCOL: {
    causedBy: "user",
    status: 502,
    about:
      "The sandbox broke the wire protocol (something in it wrote to the runtime's socket); it was destroyed.",
  },
  OL_SANDBOX_BAD_REPLY: {
    causedBy: "user",
    status: 500,
    about:
      "The lambda's reply cannot be sent as HTTP: its status is not from 200 to 599, a header field's name or value has characters that HTTP does not allow, there are more than 255 fields, or it is no app and has a status; the message says which. The sandbox lives on.",
  },
  OL_SANDBOX_APP_FAILED: {
    causedBy: "user",
    status: 500,
    about: "The app failed after it had begun its reply, which is broken off. The sandbox lives on.",
  },
  OL_SANDBOX_HEADERS_TOO_LARGE: {
    causedBy: "user",
    status: 431,
    about:
      "The request has more header fields, or longer ones, than a call can carry (64 KiB, 253 fields; 248 if it is for an app).",
  },
  OL_SANDBOX_CANCELLED: {
    causedBy: "user",
    status: 499,
    about: "The caller gave up on the call.",
  },
  OL_SANDBOX_CLOSED: {
    causedBy: "user",
    status: 503,
    about: "The pool or engine is closed, or closing.",
  },
} as const;

export type SandboxErrorCode = keyof typeof SANDBOX_ERRORS;
/** Makes an error of this package, for engines of one's own: its code decides what callers hear. */
export const sandboxError: ErrorFactory<typeof SANDBOX_ERRORS> = errorFactory(SANDBOX_ERRORS);

/**
 * The package directories for which an OL_SANDBOX_ZYGOTE_FAILED says that their import left behind what a fork cannot share:
 * they cannot be in any zygote. None if it failed for another reason.
 */
export const unfitOf = (error: unknown): readonly string[] => {
  const unfit = isOlError(error, "OL_SANDBOX_ZYGOTE_FAILED") ? error.details["unfit"] : undefined;
  return Array.isArray(unfit) ? (unfit as string[]) : [];
};
