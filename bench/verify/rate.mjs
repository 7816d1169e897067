/**
 * How often per second `work` succeeds with `inFlight` callers, each waiting for its own before the next.
 * @param work given a number that is another for each call
 */
export async function measureRate(inFlight, seconds, work) {
  let done = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: inFlight }, async (_, caller) => {
      for (let n = caller; performance.now() < end; n += inFlight) {
        await work(n);
        done += 1;
      }
    }),
  );
  return done / ((performance.now() - start) / 1000);
}

/** Nanoseconds that one of `times` calls takes, one after another; a promise is awaited, anything else is not. */
export async function measureCost(times, work) {
  const start = process.hrtime.bigint();
  for (let n = 0; n < times; n++) {
    const result = work(n);
    if (result instanceof Promise) await result;
  }
  return Number(process.hrtime.bigint() - start) / times;
}
