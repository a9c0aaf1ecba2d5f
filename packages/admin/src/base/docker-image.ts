import { arch } from "node:os";
import type { Readable } from "node:stream";

import { isOlError, systemReason } from "@ol/common";
import type Docker from "dockerode";
import type { Container, ImageInspectInfo } from "dockerode";

import type { Context } from "../cli/command.ts";
import { progressBar, withProgress } from "../cli/progress.ts";
import { escapeControls } from "../text.ts";
import { dockerFrom } from "./docker-connection.ts";
import { baseFailure } from "./failure.ts";
import { Patience } from "./patience.ts";
import { PullProgress } from "./pull-progress.ts";
import { unpackTree } from "./unpack.ts";

type ImageContext = Pick<Context, "environment" | "output" | "signal" | "urgent">;

/** A registry may be slow, and a daemon busy with a large layer; neither is ever silent for so long. */
const SILENT_MS = 300_000;
/** Also when the export was interrupted. */
const REMOVAL_MS = 60_000;
/** By which containers that only a killed ol-admin can leave are found: docs/base-images.md. */
const LABEL = "openlambda.base-export";

// Node's names of processors, and those of images.
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** Of the daemon's reply, if the error is one. */
const statusOf = (error: unknown): number | undefined =>
  (error as { readonly statusCode?: number }).statusCode;

/** The daemon's own words, if it said any, without what dockerode writes in front of them. */
const reasonOf = (error: unknown): string =>
  escapeControls(systemReason(error).replace(/^\(HTTP code \d+\) [a-z ]+ - /u, "")).trim();

/** As readline does, which does not say when what it reads breaks off. */
const linesOf = async function* (stream: Readable): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  yield rest;
};

/** A daemon's image as a tree of files. Used once. */
class ImageExport {
  readonly #docker: Docker;
  readonly #image: string;
  readonly #context: ImageContext;
  readonly #patience: Patience;
  readonly #signal: AbortSignal;

  constructor(docker: Docker, image: string, context: ImageContext, patience: Patience) {
    this.#docker = docker;
    this.#image = image;
    this.#context = context;
    this.#patience = patience;
    this.#signal = AbortSignal.any([context.signal, patience.signal]);
  }

  async run(directory: string): Promise<void> {
    const image = await this.#find();
    this.#assertForThisMachine(image);
    const container = await this.#createContainer(image.Id);
    try {
      await this.#unpack(container, image.Size, directory);
    } finally {
      await this.#remove(container);
    }
  }

  async #find(): Promise<ImageInspectInfo> {
    const found = await this.#inspect();
    if (found !== undefined) return found;
    await this.#pull();
    const pulled = await this.#inspect();
    if (pulled === undefined) throw new Error("it was pulled, but is not there");
    return pulled;
  }

  async #inspect(): Promise<ImageInspectInfo | undefined> {
    try {
      // An option that dockerode has, and its types have not.
      const options: object = { abortSignal: this.#signal };
      return await this.#docker.getImage(this.#image).inspect(options);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  async #pull(): Promise<void> {
    const progress = new PullProgress();
    const shownProgress = (): string =>
      progress.total === 0
        ? `pulling ${this.#image}`
        : `pulling ${this.#image} ${progressBar(progress.done, progress.total)}`;
    try {
      await withProgress(this.#context.output, shownProgress, this.#follow(progress));
    } catch (error) {
      if (this.#signal.aborted) throw error;
      throw baseFailure(
        `${this.#image} is not there, and cannot be pulled: ${reasonOf(error)}; check its name, or have docker pull it first`,
        error,
      );
    }
  }

  async #follow(progress: PullProgress): Promise<void> {
    const stream = (await this.#docker.pull(this.#image, { abortSignal: this.#signal })) as Readable;
    for await (const line of linesOf(stream)) {
      this.#patience.heard();
      const failure = progress.take(line);
      if (failure !== undefined) throw new Error(failure);
    }
  }

  #assertForThisMachine({ Architecture: architecture, Os: system }: ImageInspectInfo): void {
    const own = `linux/${ARCHITECTURES[arch()] ?? arch()}`;
    const its = `${system}/${architecture}`;
    if (its !== own)
      throw baseFailure(
        `${this.#image} is for ${escapeControls(its)}, and this machine is ${own}; name an image for it (docker pull --platform=${own} ${this.#image} gets one, if there is one)`,
      );
  }

  /** It is never started. */
  #createContainer(image: string): Promise<Container> {
    const options = {
      Image: image,
      // One without a command of its own cannot be made.
      Cmd: ["-"],
      Labels: { [LABEL]: "true" },
      // Not ended by the first ctrl-C: the daemon would go on, and nobody know the container.
      abortSignal: AbortSignal.any([this.#context.urgent, AbortSignal.timeout(SILENT_MS)]),
    };
    return this.#docker.createContainer(options);
  }

  async #unpack(container: Container, size: number, directory: string): Promise<void> {
    const source = (await container.export({ abortSignal: this.#signal })) as Readable;
    let read = 0;
    const progress = (bytes: number): void => {
      read = bytes;
      this.#patience.heard();
    };
    await withProgress(
      this.#context.output,
      () => `exporting ${this.#image} ${progressBar(read, size)}`,
      unpackTree(source, directory, { name: this.#image, signal: this.#signal, progress }),
    );
  }

  /** The base is whole without it: a failure is told, and changes nothing. */
  async #remove(container: Container): Promise<void> {
    try {
      // Volumes that the image declares were made for it.
      const abortSignal = AbortSignal.any([this.#context.urgent, AbortSignal.timeout(REMOVAL_MS)]);
      await container.remove({ force: true, v: true, abortSignal });
    } catch (error) {
      this.#context.output.message(
        `the container ${container.id.slice(0, 12)}, made for the export, stays: ${reasonOf(error)}; remove it: docker rm ${container.id.slice(0, 12)}`,
      );
    }
  }
}

/**
 * Fills `directory`, which is there and empty, with the root file system of an image, which is pulled if the daemon does
 * not have it. Fails with OL_ADMIN_BASE; what is there then is for the caller to remove.
 */
export const exportImage = async (image: string, directory: string, context: ImageContext): Promise<void> => {
  const { docker, place } = await dockerFrom(context.environment, context.signal);
  using patience = new Patience(SILENT_MS);
  try {
    await new ImageExport(docker, image, context, patience).run(directory);
  } catch (error) {
    if (context.signal.aborted) throw baseFailure(`the export of ${image} was interrupted`, error);
    if (patience.signal.aborted)
      throw baseFailure(
        `the export of ${image} was given up: ${systemReason(patience.signal.reason)}`,
        error,
      );
    if (isOlError(error)) throw error;
    throw baseFailure(`${image} cannot be exported by the daemon at ${place}: ${reasonOf(error)}`, error);
  }
};
