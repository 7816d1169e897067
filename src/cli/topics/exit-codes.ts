export const exitCodes = `
    0  done
    1  internal error
    2  the command line is wrong
    3  not found
    4  denied; from \`verify\`: the token is not good
    5  conflict, or a transition that the states do not allow
    6  an approval is required or pending
    7  the database cannot be used, or has another schema version
    8  some of many items failed; the result says which
    9  a check found something
   74  the secret could not be delivered; nothing that works is left behind
  130  interrupted (Ctrl-C); 143 by SIGTERM, 129 by SIGHUP
`;
