/** An answer of the playground as it is written. RTK Query has no streams, so this is the one request beside it. */
import { jsonLines } from "../lib/lines";
import type { ChatPiece, ErrorBody, Question } from "./schema.gen";

/**
 * The pieces of an answer. Aborting the signal ends the request, and with it the model's work.
 *
 * Throws what `fetch` throws: an AbortError, or a TypeError where the studio is away.
 */
export async function* ask(runId: string, question: Question, signal: AbortSignal): AsyncGenerator<ChatPiece["piece"]> {
  const response = await fetch(`/api/runs/${encodeURIComponent(runId)}/chat/ask`, {
    method: "POST",
    credentials: "same-origin",
    headers: { "X-OPD": "1", "content-type": "application/json" },
    body: JSON.stringify(question),
    signal,
  });
  if (!response.ok || !response.body) {
    const { error } = (await response.json()) as { error: ErrorBody };
    yield { type: "failed", error };
    return;
  }
  for await (const line of jsonLines(response.body)) yield (line as ChatPiece).piece;
}
