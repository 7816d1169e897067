/** A list that leaves nothing out. */
export const EVERYTHING = {
  status: [],
  labels: [],
  owner: null,
  provider: null,
  expiringWithin: null,
  unusedFor: null,
  identity: null,
} as const;
