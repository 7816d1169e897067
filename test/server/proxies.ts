import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { inject } from "vitest";
import { listen } from "../support/proxy.ts";
import { until } from "../verifier/scene.ts";

const VERIFY = readFileSync(new URL("../../docs/verify.md", import.meta.url), "utf8");

/** The first block of code of that language in docs/verify.md. */
export function blockOf(language: string): string {
  const block = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(VERIFY)?.[1];
  if (block === undefined) throw new Error(`docs/verify.md has no ${language}`);
  return block;
}

/** A reverse proxy that is installed here, to be configured as docs/verify.md has it. */
export interface ReverseProxy {
  readonly name: string;
  /** Starts it at a free port in front of these two ports of 127.0.0.1. */
  start(midctl: number, application: number): Promise<Proxying>;
}

export interface Proxying {
  readonly port: number;
  readonly url: string;
  stop(): void;
}

/** Those that docs/verify.md configures and this machine has. */
export function installedProxies(): ReverseProxy[] {
  const nginx = ["/usr/sbin/nginx", "/usr/bin/nginx", "/opt/homebrew/bin/nginx"].find(existsSync);
  const caddy = ["/usr/bin/caddy", "/usr/local/bin/caddy", "/opt/homebrew/bin/caddy"].find(existsSync);
  return [
    ...(nginx === undefined ? [] : [{ name: "nginx", start: startNginx(nginx) }]),
    ...(caddy === undefined ? [] : [{ name: "Caddy", start: startCaddy(caddy) }]),
  ];
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Asks until somebody listens there. */
export function untilOpen(url: string): Promise<void> {
  return until(() =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
}

function place(configuration: string, midctl: number, application: number): string {
  return configuration
    .replaceAll("127.0.0.1:3000", `127.0.0.1:${application}`)
    .replaceAll("127.0.0.1:8484", `127.0.0.1:${midctl}`);
}

const startNginx = (program: string) => (midctl: number, application: number) =>
  proxying("nginx", (home, port) => {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (name) => `${name}_temp_path ${home}/${name};`,
    );
    writeFileSync(
      join(home, "nginx.conf"),
      `daemon off; master_process off; pid ${home}/pid; error_log ${home}/error.log;
       events {}
       http { access_log off; ${temporary.join(" ")}
         server { listen 127.0.0.1:${port}; ${place(blockOf("nginx"), midctl, application)} } }`,
    );
    return spawn(program, ["-p", home, "-e", `${home}/error.log`, "-c", `${home}/nginx.conf`], {
      stdio: "ignore",
    });
  });

const startCaddy = (program: string) => (midctl: number, application: number) =>
  proxying("caddy", (home, port) => {
    const site = place(blockOf("caddyfile"), midctl, application).replace(
      "cards.example",
      `http://127.0.0.1:${port}`,
    );
    writeFileSync(join(home, "Caddyfile"), `{\n\tadmin off\n}\n${site}`);
    return spawn(program, ["run", "--config", join(home, "Caddyfile"), "--adapter", "caddyfile"], {
      env: { PATH: process.env.PATH, HOME: home },
      stdio: "ignore",
    });
  });

async function proxying(
  name: string,
  start: (home: string, port: number) => ChildProcess,
): Promise<Proxying> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = start(mkdtempSync(join(inject("scratch"), `${name}-`)), port);
  await untilOpen(url);
  return { port, url, stop: () => void child.kill("SIGTERM") };
}
