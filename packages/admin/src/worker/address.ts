import { readJsonObject, validateTemplate } from "@ol/config";

const ANYWHERE = new Set(["localhost", "127.0.0.1", "::1", "[::1]", "0.0.0.0", "::", "[::]"]);

/** The URL by which this machine reaches a worker that listens on `workerUrl`. */
export const urlOf = (workerUrl: string, port: number | string): string => {
  const bare = workerUrl.replace(/^\[(?<inside>.*)\]$/u, "$<inside>");
  const host = ANYWHERE.has(workerUrl.toLowerCase()) ? "localhost" : bare;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
};

/** Where a worker listens, by its own configuration file. */
export const urlOfConfig = async (configFile: string): Promise<string> => {
  const template = validateTemplate(await readJsonObject(configFile), configFile);
  return urlOf(template.worker_url ?? "localhost", template.worker_port ?? 8080);
};
