import { credential, idOf, insert } from "../scene.ts";
import { ATTACH, type Attack, LEGACY_FACTS, MC003 } from "./attack.ts";

export const EVENTS_ATTACKS: readonly Attack[] = [
  {
    refuses: "an event of a token that blames another identity",
    attack: insert("agent_audit_event", {
      publicId: "'event0000009'",
      agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'active000001')`,
      action: "'x'",
      machineIdentityId: idOf("bare"),
    }),
    code: MC003,
    allows: "one that blames its own",
    twin: insert("agent_audit_event", {
      publicId: "'event0000009'",
      agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'active000001')`,
      action: "'x'",
      machineIdentityId: idOf("svc"),
    }),
  },
  {
    refuses: "an event of a legacy token that blames an identity",
    attack: insert("agent_audit_event", {
      publicId: "'event0000009'",
      agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'legacy000001')`,
      action: "'x'",
      machineIdentityId: idOf("bare"),
    }),
    code: MC003,
    allows: "one that blames nobody",
    twin: insert("agent_audit_event", {
      publicId: "'event0000009'",
      agentTokenId: `(SELECT id FROM agent_token WHERE "publicId" = 'legacy000001')`,
      action: "'x'",
    }),
  },
  {
    refuses: "an event that blames another identity later",
    attack: `UPDATE agent_audit_event SET "machineIdentityId" = ${idOf("bare")} WHERE "publicId" = 'event0000001'`,
    code: MC003,
    allows: "another text in it",
    twin: `UPDATE agent_audit_event SET metadata = '{}' WHERE "publicId" = 'event0000001'`,
  },
  {
    refuses: "an event that blames nobody any more",
    attack: `UPDATE agent_audit_event SET "machineIdentityId" = NULL WHERE "publicId" = 'event0000001'`,
    code: MC003,
    allows: "a legacy event that stays with nobody",
    twin: `UPDATE agent_audit_event SET metadata = '{}' WHERE "publicId" = 'event0000002'`,
  },
  {
    refuses: "an event that names another identity's token later",
    attack: `UPDATE agent_audit_event SET "agentTokenId" = (SELECT id FROM agent_token WHERE "publicId" = 'legacy000001') WHERE "publicId" = 'event0000001'`,
    code: MC003,
    allows: "one whose token a host names no more",
    twin: `UPDATE agent_audit_event SET "agentTokenId" = NULL WHERE "publicId" = 'event0000001'`,
  },
  {
    refuses: "a legacy event that blames an identity which its token has not",
    attack: `UPDATE agent_audit_event SET "machineIdentityId" = ${idOf("bare")} WHERE "publicId" = 'event0000002'`,
    code: MC003,
    allows: "one that follows its token's adoption",
    twin: `${credential("legacy000001", "bare", LEGACY_FACTS)}; ${ATTACH};
      UPDATE agent_audit_event SET "machineIdentityId" = ${idOf("bare")} WHERE "publicId" = 'event0000002'`,
  },
];
