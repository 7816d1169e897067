import type { VerifyDocument } from "../verbs/verify.ts";
import { status, time, type View } from "../view.ts";

export function viewVerify(document: VerifyDocument): View {
  if (!document.ok) {
    return [
      {
        kind: "fields",
        fields: [
          ["token", { text: "not good", tone: "bad" }],
          ["because", status(document.code)],
        ],
      },
    ];
  }
  const { actor, credential, expiresAt, approval } = document;
  return [
    {
      kind: "fields",
      fields: [
        ["token", { text: "good", tone: "good" }],
        ["actor", actor.slug],
        ["name", actor.displayName],
        ["owner", actor.owner],
        ["credential", credential?.id ?? null],
        ["status", status(credential?.effectiveStatus ?? "active")],
        ["scopes", credential?.scopes.join(" ") ?? null],
        ["expires", time(expiresAt)],
        ...(approval === null ? [] : [["approval", approval] as const]),
      ],
    },
  ];
}
