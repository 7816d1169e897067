import { environmentVariables } from "../settings.ts";

const width = Math.max(...Object.keys(environmentVariables).map((name) => name.length));
const lines = Object.entries(environmentVariables).map(([name, does]) => `  ${name.padEnd(width)}  ${does}`);

export const environment = `
A flag outranks the environment, that a context, and that the default.

VARIABLES
${lines.join("\n")}
  ${"CODEX_THREAD_ID".padEnd(width)}  the thread an agent claims to be: offered, never taken
  ${"NO_COLOR".padEnd(width)}  no colours
  ${"PGPASSWORD".padEnd(width)}  the database's password
  ${"PGPASSFILE".padEnd(width)}  PostgreSQL's password file, else ~/.pgpass
  ${"PGSERVICEFILE".padEnd(width)}  PostgreSQL's services, for postgres:///?service=NAME

CONTEXTS
  Named settings in $XDG_CONFIG_HOME/midctl/config.json:
    midctl context set prod --database-url postgres://midctl@db/midctl
    midctl context use prod
    midctl --context prod list
  A context given by flag outranks MIDCTL_DATABASE_URL as well.
  \`midctl context show\` says what is in force, and why.

With nothing configured midctl keeps its own PostgreSQL: midctl help embedded.
`;
