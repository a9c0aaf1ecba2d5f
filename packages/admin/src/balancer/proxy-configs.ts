/** A worker behind another proxy. */
export interface PlannedWorker {
  /** HOST:PORT. */
  readonly address: string;
  /** Calls that it runs at once, if that is known. */
  readonly slots: number | undefined;
}

/** What another proxy is to do in place of our load balancer. */
export interface ProxyPlan {
  /** Which it listens on, at 127.0.0.1. */
  readonly port: number;
  readonly workers: readonly PlannedWorker[];
  /** Lambda to package set. */
  readonly keys: ReadonlyMap<string, string>;
  /** An absolute path without extension, for files of its own. */
  readonly place: string;
}

/** A file to be written. */
export interface ProxyFile {
  readonly path: string;
  readonly text: string;
}

const MADE = "# Made by ol-admin lb-config; make it again when workers or packages change.";

/**
 * For HAProxy 2.4 and later: consistent hashing by package set with bounded loads, so that a lambda's calls stay with the workers that
 * have its packages, and none gets more than 1.25 times its share. Only calls of which no byte was sent go to another worker.
 */
export const haproxyFiles = ({ port, workers, keys, place }: ProxyPlan): readonly ProxyFile[] => {
  const map = `${place}.map`;
  const servers = workers.map(({ address }, at) => `  server worker-${at} ${address}`);
  const text = `${MADE}
defaults
  mode http
  timeout connect 1s
  timeout http-request 10s
  timeout client 60s
  # Workers themselves end what takes too long.
  timeout server 1h
  option redispatch 1
  retries 2
  retry-on conn-failure
frontend clients
  bind 127.0.0.1:${port}
  # Of clients nobody believes them.
  http-request del-header X-OL- -m beg
  # The lambda: /run/NAME, without its tag.
  http-request set-var(txn.name) path,field(3,/),field(1,@)
  http-request set-var(txn.key) var(txn.name),map("${map}")
  http-request set-var(txn.key) var(txn.name) unless { var(txn.key) -m found }
  http-request set-header X-OL-Key %[var(txn.key)]
  http-response del-header X-OL-Load
  http-response del-header X-OL-Warm
  default_backend workers
backend workers
  balance hdr(X-OL-Key)
  hash-type consistent
  hash-balance-factor 125
  option httpchk GET /status
  http-check expect status 200
  default-server check inter 2s fall 3 rise 2
${servers.join("\n")}
`;
  const lines = [...keys].map(([name, key]) => `${name} ${key}\n`);
  return [
    { path: map, text: lines.join("") },
    { path: `${place}.cfg`, text },
  ];
};

const quoted = (name: string): string => name.replaceAll(".", "\\.");

/** As many calls for each slot as our own balancer sends a worker at most: those that run, and seven that wait. */
const MOST_PER_SLOT = 8;

/**
 * For nginx 1.11.5 and later: consistent hashing by package set, with a bound on the calls at one worker (`max_conns`): what goes beyond it goes
 * to the next one. Only passive checks, and no queue: with all workers at their bounds it answers 502.
 */
export const nginxFiles = ({ port, workers, keys, place }: ProxyPlan): readonly ProxyFile[] => {
  const lines = [...keys].map(([name, key]) => `    "~^${quoted(name)}$" "${key}";`);
  const servers = workers.map(({ address, slots }) => {
    const bound = slots === undefined ? "" : ` max_conns=${slots * MOST_PER_SLOT}`;
    return `    server ${address} max_fails=3 fail_timeout=1s${bound};`;
  });
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `  ${kind}_temp_path "${place}-tmp-${kind}";`,
  );
  const text = `${MADE}
worker_processes auto;
pid "${place}.pid";
error_log "${place}.log";
events { worker_connections 10000; }
http {
  access_log off;
${temporary.join("\n")}
  # The lambda: /run/NAME, without its tag.
  map $request_uri $ol_name {
    "~^/(?:run|runLambda)/(?<ol_part>[^/?@%]+)" $ol_part;
    default $request_uri;
  }
  # Its package set, if it has one. Expressions, since plain strings would be compared without regard to case.
  map $ol_name $ol_key {
    default $ol_name;
${lines.join("\n")}
  }
  upstream workers {
    # Shared by nginx's own processes, so that they count together.
    zone workers 256k;
    hash $ol_key consistent;
${servers.join("\n")}
    keepalive 64;
  }
  server {
    listen 127.0.0.1:${port};
    # Workers have limits of their own.
    client_max_body_size 0;
    location / {
      proxy_pass http://workers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      # Of clients nobody believes them.
      proxy_set_header X-OL-Invocation-Id "";
      proxy_set_header X-OL-Deadline-Ms "";
      proxy_set_header X-OL-Proxy "";
      proxy_hide_header X-OL-Load;
      proxy_hide_header X-OL-Warm;
      proxy_connect_timeout 1s;
      # Workers themselves end what takes too long.
      proxy_read_timeout 1h;
      proxy_buffering off;
      proxy_request_buffering off;
      # A POST goes to another worker only if it could not be sent at all.
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 3;
    }
  }
}
`;
  return [{ path: `${place}.conf`, text }];
};
