import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Failure } from "./ui/Notice";
import { diagnosticsText, withoutSecrets } from "./diagnostics";
import type { Machine, RunView } from "./shapes";

const CANARY = "Canary7Qx9ZrT2vBkLm4";
/** The ways in which a key has been seen to get into a message. */
const PLACES = [
  `Incorrect API key provided: sk-proj-${CANARY}.`,
  `Incorrect API key provided: sk-ant-api03-${CANARY}`,
  `hf_${CANARY} is not allowed to read that model`,
  `headers: {'Authorization': 'Bearer ${CANARY}'}`,
  `Authorization: Basic ${CANARY}==`,
  `GET https://api.example.com/v1/models?key=${CANARY}&x=1 failed`,
  `http://127.0.0.1:8123/?code=${CANARY}`,
  `https://me:${CANARY}@proxy.example.com:3128 refused`,
  `api_key=${CANARY}`,
  `"api-key": "${CANARY}"`,
  `cookie: opd_session_8123=${CANARY}`,
  `OPENAI_API_KEY=${CANARY}`,
  `AIzaSy${CANARY}`,
  `token ${"0123456789abcdef".repeat(4)}`,
];

function failure(message: string): Failure {
  return { code: "teacher_failed", message, hint: message };
}

describe("what Copy diagnostics copies", () => {
  it.each(PLACES)("holds no key: %s", (message) => {
    const text = diagnosticsText({ failure: failure(message), stack: `Error: ${message}\n at page` });
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain("0123456789abcdef".repeat(2));
    expect(text).toContain("left out");
    expect(() => JSON.parse(text) as unknown).not.toThrow();
  });

  it("holds no key whatever stands around it", () => {
    const around = fc.string({ maxLength: 20, unit: fc.constantFrom(" ", "\n", "\"", "'", ",", "(", ")", "{", "}", ".", "x") });
    fc.assert(
      fc.property(around, fc.constantFrom(...PLACES), around, (before, place, after) => {
        expect(withoutSecrets(`${before} ${place} ${after}`)).not.toContain(CANARY);
      }),
    );
  });

  it("holds neither prompts, answers, settings, the query of the address nor a name", () => {
    window.history.replaceState(null, "", `/opd?code=${CANARY}`);
    window.localStorage.setItem("opd.draft", CANARY);
    const view = {
      runId: "20261127-101112-abcd",
      state: "failed",
      samples: [{ prompt: CANARY, text: CANARY }],
      log: [{ event: { kind: "sample_recorded", text: CANARY } }],
      series: { [CANARY]: [] },
      summary: { phase: "distilling", step: 3, max_steps: 9, seq: 12, num_resumes: 0, alarms: [], started: null },
    } as unknown as RunView;
    const machine = { version: "1", data_dir: `/home/${CANARY}/.opd-studio`, device: { kind: "cpu" }, packages: {} } as unknown as Machine;
    const text = diagnosticsText({ view, machine, failure: failure(`/Users/${CANARY}/models/student is no folder`) });
    expect(text).not.toContain(CANARY);
    expect(text).toContain("20261127-101112-abcd");
    expect(text).toContain("/Users/(name)/models/student is no folder");
  });

  it("leaves what is no secret as it is", () => {
    for (const plain of [
      "Line 3, byte 120: the role is missing.",
      "student.model is Qwen/Qwen3-0.6B; expected a folder.",
      "sha256 9f86d081884c differs",
      "http://127.0.0.1:8123/api/opd/status",
    ]) {
      expect(withoutSecrets(plain)).toBe(plain);
    }
  });
});
