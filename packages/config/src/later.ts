/** Keys that the configuration will have once what they configure exists. */
export const LATER_KEYS: readonly string[] = [
  "worker_tls",
  "install_wait_ms",
  "registry_server",
  "registry_access_key",
  "registry_secret_key",
  "registry_bucket",
  "pkgs_dir",
  "pip_mirror",
  "import_cache_tree",
  "startup_pkgs",
  "docker",
  "installer_limits",
  "trace",
];

/** Values that a key of this version will take later, as patterns of the whole value. */
export const LATER_VALUES: Readonly<Record<string, RegExp>> = {
  sandbox: /^docker$/u,
  registry: /^(?:remote|(?:file|s3|https?):\/\/.*)$/u,
  import_cache: /^(?:tree|auto)$/u,
};
