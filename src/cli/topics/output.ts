export const output = `
Results go to stdout, everything else to stderr.

  --output table    the default on a terminal: fits its width, relative times
  --output plain    the default in a pipe: tab-separated, no header, RFC 3339
  --json            one JSON document, {"schemaVersion":1,...}
  --output ndjson   one JSON line for each element of the document's list
  --fields a,b.c    only these fields, in any of the formats
  --quiet           no messages on stderr but errors

With JSON an error is one line on stderr,
{"error":{"code","message","hint","details"}}, and stdout is empty. Only
\`sweep\` whose checkpoint failed prints what it swept as well.

On a terminal \`audit\` and \`audit trace\` go through a pager where they are
longer than the screen: $MIDCTL_PAGER, else $PAGER, else less; none where that
is empty, and under --no-input.

Each command's document is described by a JSON Schema in docs/schema; of
\`audit follow\`, which has no end and prints one event a line, each line is.

Control and invisible characters in stored text are shown as \\u{1B}.
NO_COLOR, --no-color and TERM=dumb switch colours off; a pipe has none.
`;
