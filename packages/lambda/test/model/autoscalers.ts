import { type Autoscaler, makeAutoscaler } from "../../src/index.ts";

/** `eager`: one more than there are, also before there is a call. `wild`: whatever a policy might say by mistake. */
export type Autoscaling = "default" | "eager" | "wild";

const eager = (): Autoscaler => ({ ...makeAutoscaler(), desired: ({ live }) => live + 1 });

const wild = (): Autoscaler => {
  let asked = 0;
  return {
    desired: ({ live, max }) => {
      asked += 1;
      const answers = [1, Number.NaN, max + 5, live - 3, Number.POSITIVE_INFINITY, 0.5, -1];
      if (asked % 11 === 0) throw new Error("the autoscaler is out of order");
      return answers[asked % answers.length] ?? 0;
    },
    surplus: ({ idleMs }) => {
      asked += 1;
      const answers = [0, idleMs.length + 5, Number.NaN, -2, 1.5];
      return answers[asked % answers.length] ?? 0;
    },
  };
};

/** What LambdaManager's `autoscaler` is then. */
export const AUTOSCALERS: Readonly<Record<Autoscaling, () => Autoscaler>> = {
  default: makeAutoscaler,
  eager,
  wild,
};
