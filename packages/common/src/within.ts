/** Settles with the promise's value, or with undefined after `ms`. A rejection passes through. */
export const within = <Value>(promise: Promise<Value>, ms: number): Promise<Value | undefined> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
