import { execFileSync } from "node:child_process";

import { describe, expect, it } from "vitest";

import { asCommandLine, asCurl, quoted } from "./shell";

/** Runs a text in a real shell in which curl and opd only say what they were given. */
function run(script: string): string {
  const said = `say() { for word in "$@"; do printf '[%s]\\n' "$word"; done; }\ncurl() { say "$@"; }\nopd() { say "$@"; command cat opd-run.yaml; }`;
  return execFileSync("sh", ["-c", `cd "$(mktemp -d)"\nprintf secret > studio.token\n${said}\n${script}`], { encoding: "utf8" });
}

describe.skipIf(process.platform === "win32")("in a real shell", () => {
  const nasty = "it's $HOME `id` \"quoted\" \\ and\nanother line";

  it("a quoted text is one word, unchanged", () => {
    expect(run(`say ${quoted(nasty)}`)).toBe(`[${nasty}]\n`);
  });

  it("the command line writes the YAML as it is", () => {
    const yaml = `name: "${nasty.replaceAll("\n", " ")}"\nmax_steps: 3\n`;
    expect(run(asCommandLine(yaml))).toBe(`[train]\n[opd-run.yaml]\n${yaml}`);
  });

  it("curl sends the configuration and takes the token from its file", () => {
    const text = asCurl("http://127.0.0.1:1", ".", "request-1", { name: nasty });
    expect(text).not.toContain("secret");
    const words = run(text).split(/^\[|\]\n\[|\]\n$/m);
    expect(words).toContain("authorization: Bearer secret");
    expect(JSON.parse(words.at(-2) ?? "")).toEqual({ request_id: "request-1", config: { name: nasty } });
  });
});
