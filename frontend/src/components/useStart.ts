/** Starting a run from anywhere on the page: one request id for each press, then on to the run. */
import { useRef } from "react";
import { useNavigate } from "react-router";

import { useStartRunMutation } from "../api";
import { problemOf } from "../api/errors";
import type { RunConfigInput } from "../api/types";

export function useStart() {
  const navigate = useNavigate();
  const [send, { isLoading, error, reset }] = useStartRunMutation();
  /** Kept until an answer has come: pressing again after a lost answer does not start a second run. */
  const requestId = useRef<string | null>(null);

  /** `acknowledge`: codes of notices that the person has accepted, such as a provider's terms. */
  async function start(what: { demo: true } | { config: RunConfigInput }, acknowledge: string[] = []): Promise<void> {
    requestId.current ??= newRequestId();
    const answer = await send({ startRequest: { ...what, request_id: requestId.current, acknowledge } });
    const lost = answer.error && problemOf(answer.error)?.status === null;
    if (!lost) requestId.current = null;
    if (answer.data) await navigate(`/opd/${answer.data.run_id}`);
  }

  return { start, isStarting: isLoading, problem: problemOf(error), dismiss: reset };
}

function newRequestId(): string {
  return crypto.randomUUID();
}
