import type { RegistrationRequest } from "../membership/registration.ts";

/** What a registration is answered with. */
export interface RegistrationReply {
  readonly status: number;
  /** One line. */
  readonly text: string;
}

/** Decides about registrations of workers. */
export interface Registrar {
  handle(request: RegistrationRequest): Promise<RegistrationReply>;
}
