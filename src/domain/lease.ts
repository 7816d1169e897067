/**
 * How long a verifier may go on with what it has cached (SPEC §8). Two clocks of its own are asked, and none of anybody
 * else's: the steady one, which stands still while a machine is suspended, and the wall clock, which somebody may set.
 */
export interface Moment {
  /** ms of a clock that only goes forward (`performance.now()`). */
  readonly steady: number;
  /** ms since 1970 (`Date.now()`). */
  readonly wall: number;
}

export interface Lease {
  /** When the statement that granted it was sent: it began no sooner. */
  readonly sent: Moment;
  /** ms */
  readonly length: number;
}

/** The holder stops this much sooner than others may think it over: two steady clocks differ by far less. */
const MARGIN = 0.1;

/** How far the two clocks may part, ms, before neither is believed. */
const TOLERANCE = 1000;

/** The last moment of a lease by the steady clock, ms. */
export function leaseEnd(lease: Lease): number {
  return lease.sent.steady + lease.length * (1 - MARGIN);
}

/** Whether the two clocks have gone on together since the lease was sent for. */
export function clocksAgree(lease: Lease, now: Moment): boolean {
  const apart = now.wall - lease.sent.wall - (now.steady - lease.sent.steady);
  return apart < TOLERANCE && apart > -TOLERANCE;
}

/** Whether cached answers may be given now. */
export function isInForce(lease: Lease, now: Moment): boolean {
  return now.steady < leaseEnd(lease) && clocksAgree(lease, now);
}
