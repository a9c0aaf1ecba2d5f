import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/registry-client. */
export const REGISTRY_CLIENT_ERRORS = {
  OL_REGISTRY_CLIENT_BAD_OPTION: {
    causedBy: "user",
    status: 500,
    about:
      "The address, the bucket or the keys of a registry cannot be used; the message names what and why.",
  },
} as const;

export type RegistryClientErrorCode = keyof typeof REGISTRY_CLIENT_ERRORS;
export const registryClientError: ErrorFactory<typeof REGISTRY_CLIENT_ERRORS> =
  errorFactory(REGISTRY_CLIENT_ERRORS);
