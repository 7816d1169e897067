export const references = `
  codex-019a6f2e   an identity, by its slug
  mc_4fT0aZ81kQxw  a credential
  at_4fT0aZ81kQxw  a token; a credential's token has the same 12 characters
  ap_7Zk2mPq90aBc  an approval
  -                those on standard input, one to a line, where many are taken

Slugs are lower-case letters, digits and hyphens, at most 63, with a letter or
digit at either end. A slug never changes.
`;
