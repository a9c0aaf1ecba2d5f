import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/registry-client. None ever holds a secret key. */
export const REGISTRY_CLIENT_ERRORS = {
  OL_REGISTRY_CLIENT_BAD_OPTION: {
    causedBy: "user",
    status: 500,
    about:
      "The address, the bucket or the keys of a registry cannot be used; the message names what and why.",
  },
  OL_REGISTRY_CLIENT_UNREACHABLE: {
    causedBy: "system",
    status: 503,
    about:
      "The registry cannot be reached, did not answer in time, or broke the connection off; the message names the address and the reason.",
  },
  OL_REGISTRY_CLIENT_DENIED: {
    causedBy: "system",
    status: 502,
    about:
      "The registry does not take the keys: it does not know the access key, the secret key is another one, or these keys may not do what was asked; the message says which.",
  },
  OL_REGISTRY_CLIENT_CLOCK: {
    causedBy: "system",
    status: 502,
    about:
      "The clocks of this machine and of the registry are too far apart for signed requests; the message gives both times. Set the wrong one.",
  },
  OL_REGISTRY_CLIENT_REGION: {
    causedBy: "system",
    status: 502,
    about:
      "The bucket is in another region, or at another address; the message names the one to configure, if the store said it.",
  },
  OL_REGISTRY_CLIENT_NO_BUCKET: {
    causedBy: "system",
    status: 502,
    about: "The store has no such bucket. `ol-admin registry` makes it, or whoever runs the store.",
  },
  OL_REGISTRY_CLIENT_REFUSED: {
    causedBy: "system",
    status: 502,
    about:
      "The registry refused or failed at a request, for example because its disk is full; the message has what it said.",
  },
  OL_REGISTRY_CLIENT_BAD_ANSWER: {
    causedBy: "system",
    status: 502,
    about:
      "What the registry answered makes no sense: it is no S3 store, or an object in it was not written by this program; the message names it.",
  },
  OL_REGISTRY_CLIENT_BAD_DIGEST: {
    causedBy: "system",
    status: 502,
    about: "A bundle's bytes are not those that its name promises: it was damaged or exchanged in the store.",
  },
  OL_REGISTRY_CLIENT_BUSY: {
    causedBy: "system",
    status: 503,
    about:
      "Others kept changing the same tag at the same time; nothing was changed by this request. Repeat it.",
  },
  OL_REGISTRY_CLIENT_UNKNOWN: {
    causedBy: "user",
    status: 404,
    about: "The registry has no lambda of that name, or not that tag of it.",
  },
  OL_REGISTRY_CLIENT_NO_VERSION: {
    causedBy: "user",
    status: 404,
    about:
      "The lambda has no such version, or none before the current one to go back to; `list --versions` shows those it has.",
  },
  OL_REGISTRY_CLIENT_EXISTS: {
    causedBy: "user",
    status: 409,
    about: "The upload was to create only, and there is something of that name already; nothing was changed.",
  },
  OL_REGISTRY_CLIENT_IN_USE: {
    causedBy: "user",
    status: 409,
    about:
      "A version cannot be removed while a tag points at it; the message names the tags. Move or remove them first.",
  },
  OL_REGISTRY_CLIENT_BAD_FILE: {
    causedBy: "user",
    status: 500,
    about: "The bundle that was to be uploaded cannot be read, or changed since its digest was computed.",
  },
  OL_REGISTRY_CLIENT_BAD_KEY: {
    causedBy: "user",
    status: 500,
    about:
      "A key for signatures is no ed25519 key in PEM format, or its file cannot be read; the message names it.",
  },
  OL_REGISTRY_CLIENT_UNTRUSTED: {
    causedBy: "user",
    status: 500,
    about:
      "A bundle has no signature, or none of the trusted keys made it; with `signatures` set to enforce it is not run.",
  },
} as const;

export type RegistryClientErrorCode = keyof typeof REGISTRY_CLIENT_ERRORS;
export const registryClientError: ErrorFactory<typeof REGISTRY_CLIENT_ERRORS> =
  errorFactory(REGISTRY_CLIENT_ERRORS);
