/** A request about a worker's registration, with its body as it came. */
export interface RegistrationRequest {
  readonly method: string;
  /** Path and query, as they were sent: the signature is over them. */
  readonly path: string;
  /** The ID in /_ol/workers/ID, undecoded. */
  readonly id: string;
  readonly body: Buffer;
  /** A field's value by its name in lower case. */
  header(name: string): string | undefined;
}

/** What it is answered with. */
export interface RegistrationReply {
  readonly status: number;
  /** One line. */
  readonly text: string;
}

/** Decides about registrations of workers. */
export interface Registrar {
  handle(request: RegistrationRequest): Promise<RegistrationReply>;
}
