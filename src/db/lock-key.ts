/** The bytes of "midctl" as a number: a key of our own among a host's advisory locks. Whoever changes the schema holds it. */
export const LOCK = 120299423233132;
