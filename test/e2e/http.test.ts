import { describeWorkerHttp } from "./support/worker-http.ts";

describeWorkerHttp("sock", ["raw", "agent", "undici", "curl"]);
