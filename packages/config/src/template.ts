/** What template.json and worker-N.json may hold, after `validateTemplate`. */
export interface WorkerTemplate {
  readonly worker_dir?: string;
  readonly worker_url?: string;
  readonly worker_port?: number | string;
  readonly worker_user?: string;
  readonly worker_slots?: number;
  readonly queue_timeout_ms?: number;
  readonly pause_linger_ms?: number;
  readonly cluster_name?: string;
  readonly sandbox?: "sock" | "docker";
  readonly docker?: {
    readonly host?: string;
    readonly cert_path?: string;
    readonly base_image?: string;
    readonly python?: string;
    readonly runtime?: string;
    readonly network?: string;
    readonly prepared?: number;
    readonly share?: "off" | "lambda";
  };
  readonly sock_base_path?: string;
  readonly network?: "host" | "outbound" | "none";
  readonly registry?: string;
  readonly registry_server?: string;
  readonly registry_bucket?: string;
  readonly registry_region?: string;
  readonly registry_access_key?: string;
  readonly registry_secret_key?: string;
  readonly registry_ca?: string;
  readonly signatures?: "off" | "warn" | "enforce";
  readonly trusted_keys?: readonly string[];
  readonly bundle_limits?: {
    readonly packed_mb?: number;
    readonly unpacked_mb?: number;
    readonly files?: number;
  };
  readonly registry_dir?: string;
  readonly registry_cache_ms?: number;
  readonly mem_pool_mb?: number;
  readonly eviction?: "default" | "lru" | "priority" | "greedyDual";
  readonly limits?: Readonly<Record<string, number>>;
  readonly pkgs_dir?: string;
  readonly pip_mirror?: string;
  readonly package_tool?: "auto" | "uv" | "pip";
  readonly install_wait_ms?: number;
  readonly installer_limits?: {
    readonly procs?: number;
    readonly mem_mb?: number;
    readonly runtime_sec?: number;
    readonly scratch_mb?: number;
  };
  readonly source_packages?: boolean;
  readonly import_cache?: "off" | "tree" | "auto";
  readonly import_cache_tree?: string | Readonly<Record<string, unknown>>;
  readonly startup_pkgs?: readonly string[];
  readonly trace?: string;
  readonly features?: { readonly downsize_paused_mem?: boolean; readonly enable_seccomp?: boolean };
  readonly storage?: { readonly scratch?: "" | "memory" };
  readonly load_balancer?: readonly string[];
  readonly advertise_url?: string;
  readonly token?: string;
  readonly trusted_proxies?: readonly string[];
  readonly log_output?: string;
}
