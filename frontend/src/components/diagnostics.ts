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
  return JSON.stringify(facts, null, 2);
}
