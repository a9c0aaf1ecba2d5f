import {
  type CodeSource,
  type InstalledSet,
  type LambdaCode,
  lambdaError,
  type PackageRequest,
  type PackageSource,
} from "@ol/lambda";

import type { VirtualLambda } from "./lambdas.ts";
import { type PackageIndex, requirementsOf } from "./package-index.ts";

/** The code of some lambdas, which never changes, and their packages, which are installed. */
export class CodeShelf implements CodeSource, PackageSource {
  readonly #lambdas: ReadonlyMap<string, VirtualLambda>;
  readonly #index: PackageIndex;

  constructor(lambdas: readonly VirtualLambda[], index: PackageIndex) {
    this.#lambdas = new Map(lambdas.map((lambda) => [lambda.name, lambda]));
    this.#index = index;
  }

  async resolve(name: string): Promise<LambdaCode> {
    const lambda = this.#find(name);
    const { minInstances, maxInstances } = lambda;
    const config = {
      environment: {},
      limits: {},
      ...(minInstances !== undefined && { minInstances }),
      ...(maxInstances !== undefined && { maxInstances }),
    };
    return { name, digest: name, dir: name, stamp: name, config, requirements: requirementsOf(lambda) };
  }

  async current(name: string): Promise<string> {
    return this.#find(name).name;
  }

  async kept(): Promise<readonly string[]> {
    return [...this.#lambdas.values()]
      .filter(({ minInstances = 0 }) => minInstances > 0)
      .map(({ name }) => name);
  }

  release(): void {
    // It is nowhere but here.
  }

  async provide({ lambda }: PackageRequest): Promise<InstalledSet> {
    return this.#index.setOf(lambda);
  }

  #find(name: string): VirtualLambda {
    const lambda = this.#lambdas.get(name);
    if (lambda === undefined) throw lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name}`);
    return lambda;
  }
}
