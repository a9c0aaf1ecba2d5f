import { baselinePath } from "./baselines.ts";
import { benchError } from "./errors.ts";
import { firstLine, startHelper } from "./process.ts";

const readyTimeoutMs = 10_000;

/** The frozen bare node:http server, in a process of its own. */
export interface BareHttp extends AsyncDisposable {
  readonly port: number;
}

export const startBareHttp = async (): Promise<BareHttp> => {
  const helper = startHelper(process.execPath, [baselinePath("http-server.mjs")], { stdio: "pipe" });
  const { stdout } = helper.child;
  if (stdout === null) throw benchError("OL_BENCH_HELPER_FAILED", "the bare HTTP server has no output");
  try {
    const line = await firstLine(helper, stdout, "the bare HTTP server", readyTimeoutMs);
    return { port: Number(line.replace("ready ", "")), [Symbol.asyncDispose]: helper.stop };
  } catch (error) {
    await helper.stop();
    throw error;
  }
};
