export const tokens = `
A token is one word: mid_<live|test>_<12 characters>_<secret><checksum>.
The 12 characters are the credential's public id: mc_<the same 12>.

WHERE THE SECRET GOES
  Once, and to one place:
    by default          alone on stdout: TOKEN=$(midctl credential issue REF)
    --token-file PATH   into a new private file, before anything is committed
    --json              in the field "token"
  midctl keeps only a hash and cannot show it again: issue or rotate instead.

RETRYING
  With --token-file, the same command may simply be run again: the token
  that the file holds already is used, and nothing is issued twice.

WITHOUT CARRYING A SECRET
  \`midctl credential prepare\` makes a token where it will be used and prints
  a commitment; \`midctl credential issue REF --commitment WORD\` issues it.

LEAKED
  midctl revoke --token-stdin < FILE

Never give a token as an argument: arguments are public on a machine.
`;
