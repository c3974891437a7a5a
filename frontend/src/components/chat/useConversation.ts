/** A conversation with several models at once: each sees its own answers, all see the same questions. */
import { useCallback, useEffect, useRef, useState } from "react";

import { ask } from "../../api/ask";
import type { AnswerPiece, Question, Turn, Who } from "../../api/types";
import { strings } from "../../strings";
import type { Failure } from "../ui/Notice";

export interface Answer {
  text: string;
  state: "writing" | "done" | "stopped" | "failed";
  isCut: boolean;
  numTokens: number;
  seconds: number;
  failure: Failure | null;
}

export interface Exchange {
  id: number;
  question: string;
  answers: Partial<Record<Who, Answer>>;
}

export type Sampling = Pick<Question, "temperature" | "top_p" | "max_tokens">;

const EMPTY: Answer = { text: "", state: "writing", isCut: false, numTokens: 0, seconds: 0, failure: null };

export function useConversation(runId: string) {
  const [exchanges, setExchanges] = useState<Exchange[]>([]);
  const [numWriting, setNumWriting] = useState(0);
  const request = useRef<AbortController | null>(null);
  const stop = useCallback(() => request.current?.abort(), []);
  useEffect(() => stop, [stop]);

  const change = (id: number, who: Who, next: (answer: Answer) => Answer) =>
    setExchanges((all) =>
      all.map((one) =>
        one.id === id ? { ...one, answers: { ...one.answers, [who]: next(one.answers[who] ?? EMPTY) } } : one,
      ),
    );

  const write = async (id: number, question: Question, signal: AbortSignal) => {
    const { who } = question;
    setNumWriting((number) => number + 1);
    try {
      for await (const piece of ask(runId, question, signal)) change(id, who, (answer) => withPiece(answer, piece));
    } catch {
      change(id, who, (answer) =>
        signal.aborted
          ? { ...answer, state: "stopped" }
          : { ...answer, state: "failed", failure: strings.chat.lost },
      );
    } finally {
      setNumWriting((number) => number - 1);
    }
  };

  const send = (text: string, voices: Who[], sampling: Sampling) => {
    const made = new AbortController();
    request.current = made;
    const id = exchanges.length;
    const answers = Object.fromEntries(voices.map((who) => [who, EMPTY]));
    setExchanges([...exchanges, { id, question: text, answers }]);
    for (const who of voices) {
      const messages = [...history(exchanges, who), { role: "user", content: text } as const];
      void write(id, { who, messages, ...sampling }, made.signal);
    }
  };

  const reset = () => {
    stop();
    setExchanges([]);
  };
  return { exchanges, isWriting: numWriting > 0, send, stop, reset };
}

/** What one model has been asked and has said so far; what failed is left out. */
export function history(exchanges: readonly Exchange[], who: Who): Turn[] {
  return exchanges.flatMap(({ question, answers }): Turn[] => {
    const answer = answers[who];
    if (!answer || answer.state === "failed") return [];
    return [
      { role: "user", content: question },
      { role: "assistant", content: answer.text },
    ];
  });
}

export function withPiece(answer: Answer, piece: AnswerPiece): Answer {
  switch (piece.type) {
    case "text":
      return { ...answer, text: answer.text + piece.text };
    case "end":
      return {
        ...answer,
        state: "done",
        isCut: piece.finish_reason === "length",
        numTokens: piece.num_tokens,
        seconds: piece.seconds,
      };
    case "failed":
      return { ...answer, state: "failed", failure: piece.error };
    default: // a kind that a newer server knows
      return answer;
  }
}
