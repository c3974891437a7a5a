/** The text behind "Copy diagnostics": facts for a report. No keys, no prompts, no answers, no query strings. */
import type { Machine, RunView } from "./shapes";
import type { Failure } from "./ui/Notice";

interface Given {
  failure?: Failure | null;
  view?: RunView;
  machine?: Machine;
  stack?: string;
}

export function diagnosticsText({ failure, view, machine, stack }: Given): string {
  const facts = {
    time: new Date().toISOString(),
    page: window.location.pathname,
    browser: navigator.userAgent,
    error: failure ? { code: failure.code, message: failure.message, hint: failure.hint } : undefined,
    run: view && {
      run_id: view.runId,
      state: view.state,
      phase: view.summary.phase,
      step: view.summary.step,
      max_steps: view.summary.max_steps,
      seq: view.summary.seq,
      resumes: view.summary.num_resumes,
      device: view.summary.started?.device,
      versions: view.summary.started?.versions,
      alarms: view.summary.alarms.map((alarm) => `${alarm.code} at step ${alarm.step}`),
    },
    machine: machine && {
      version: machine.version,
      python: machine.python,
      platform: machine.platform,
      device: machine.device,
      memory_available_bytes: machine.memory_available_bytes,
      disk_free_bytes: machine.disk_free_bytes,
      packages: machine.packages,
    },
    stack,
  };
  return JSON.stringify(facts, (_, value: unknown) => (typeof value === "string" ? withoutSecrets(value) : value), 2);
}

/**
 * Nothing above is meant to hold a secret; what a library put into a message may. Each pattern leaves a word in its
 * place, so that a reader sees that something was there.
 */
const SECRETS: [RegExp, string][] = [
  [/\b(Bearer|Basic|Token)\s+[\w.~+/=-]{6,}/gi, "$1 (left out)"],
  [/\b(?:sk|pk|rk|hf|gsk|xai|ghp|gho|github_pat|r8|AKIA|AIza)[-_]?[A-Za-z0-9][\w-]{10,}/g, "(key left out)"],
  [/((?:api[-_]?key|authorization|cookie|password|secret|token)["']?\s*[=:]\s*["']?)[^\s"'&,;]{4,}/gi, "$1(left out)"],
  [/\b(https?:\/\/)[^\s/"@]+@/gi, "$1(left out)@"],
  [/(https?:\/\/[^\s"?]+)\?[^\s"]*/gi, "$1?(left out)"],
  [/\b[0-9a-f]{32,}\b/gi, "(key left out)"],
  // Whose machine it is, is nobody's business either.
  [/(\/(?:home|Users)\/|[A-Z]:\\Users\\)[^\s/\\]+/g, "$1(name)"],
];

export function withoutSecrets(text: string): string {
  return SECRETS.reduce((left, [pattern, instead]) => left.replace(pattern, instead), text);
}
