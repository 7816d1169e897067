export const states = `
IDENTITIES
  active <-> paused, and from either to revoked, which is final. Nothing is ever
  deleted.

CREDENTIALS
  pending      issued, and not used yet
  active       used at least once
  paused       refused until resumed
  superseded   its successor was used; good until its grace ends
  revoked      refused for ever
  abandoned    pending, and not used before its deadline; refused for ever

  The first use proves that somebody holds the secret. It makes a pending
  credential active and, in the same moment, supersedes the one that it
  replaces. A secret that gets lost on the way stays inert, and the old
  credential goes on working.

  Uses are requests to a server that authenticates, and
  \`midctl credential activate\`. Looking is no use: \`verify\`, \`audit trace\`.

EFFECTIVE STATUS
  What counts at this moment, the strictest first: identity revoked, revoked,
  abandoned, expired, superseded, identity paused, paused, pending, grace,
  active. Only active, grace and a pending one that is being used get in.

  Pausing an identity pauses its credentials and those of its descendants, and
  resuming it brings back none that was paused on its own.
`;
