import {
  type BalancerServerOptions,
  BalancerServer,
  Dispatcher,
  type DispatcherOptions,
} from "../../src/index.ts";

/** A balancer with its dispatcher, both ended when it goes out of scope. */
export interface TestBalancer extends AsyncDisposable {
  readonly server: BalancerServer;
  readonly dispatcher: Dispatcher;
  readonly port: number;
}

/** Starts one in front of these workers. It drains for at most a second. */
export const startBalancer = async (
  workers: readonly { readonly url: string }[],
  options: Partial<BalancerServerOptions> = {},
  deciding: Partial<DispatcherOptions> = {},
): Promise<TestBalancer> => {
  const dispatcher = Dispatcher.create({
    policy: "RoundRobin",
    // Workers of bytes are not asked for their health.
    watch: false,
    workers: workers.map(({ url }) => ({ url })),
    ...deciding,
  });
  const server = await BalancerServer.start({
    dispatcher,
    version: "test",
    addresses: ["127.0.0.1"],
    port: 0,
    ...options,
    limits: { drainMs: 1_000, ...options.limits },
  });
  return {
    server,
    dispatcher,
    port: server.port,
    async [Symbol.asyncDispose]() {
      await server.close();
      await dispatcher.close();
    },
  };
};
