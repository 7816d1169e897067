export const approvals = `
In a protected environment commands that change something ask instead: they
write a request, exit 6, and say who must do what next.

  midctl db protect --key KEY               brings the environment under it
  midctl pause REF --key KEY                signs the request: ap_…
  midctl approval show AP                   what it would change
  midctl approval approve AP --key KEY      another owner signs
  midctl approval apply AP                  carries it out, each line once
  midctl approval wait AP --timeout 1h      0 approved, 4 rejected, 5 too
                                            late, 6 still open
  midctl approval reject AP                 one rejection ends it

KEY is an SSH key's file, a public key's file, or agent: hardware keys work.
Offline: approval export, ssh-keygen -Y sign -n midctl-approval@v1,
approval import.

THE TRUST ROOT
  A directory under version control, by --trust-dir or MIDCTL_TRUST_DIR:
    allowed_signers   who may approve, as ssh-keygen has it
    policy.json       {"quorum":1,"requesterSigns":true,
                       "breakGlass":["…"],"databases":["…"]}
    revoked_keys      public keys that count no more; may be absent
  Verifiers that have one refuse every token that no signed plan names.
  midctl doctor --trust-dir NEW   what a change of it would cut off

AT ONCE
  midctl pause REF --break-glass --ticket T --reason WHY --key KEY
  where the policy names you; another owner countersigns by approval approve.

docs/approvals.md has a threat model, a walk through it, and a git layout.
`;
