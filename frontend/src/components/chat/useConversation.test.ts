import { expect, test } from "vitest";

import type { AnswerPiece } from "../../api/types";
import { type Answer, history, withPiece } from "./useConversation";

const BEGUN: Answer = { text: "", state: "writing", isCut: false, numTokens: 0, seconds: 0, failure: null };

test("an answer grows piece by piece and ends with its figures; an unknown piece changes nothing", () => {
  const pieces = [
    { type: "text", text: "4" },
    { type: "thought", text: "from a newer server" },
    { type: "text", text: "2" },
    { type: "end", finish_reason: "length", num_tokens: 2, seconds: 0.5 },
  ] as AnswerPiece[];
  expect(pieces.reduce(withPiece, BEGUN)).toEqual({
    ...BEGUN,
    text: "42",
    state: "done",
    isCut: true,
    numTokens: 2,
    seconds: 0.5,
  });
});

test("each model hears its own answers, and nothing of those that failed", () => {
  const answer = (text: string, state: Answer["state"] = "done"): Answer => ({ ...BEGUN, text, state });
  const exchanges = [
    { id: 0, question: "6*7?", answers: { student: answer("42"), teacher: answer("42.") } },
    { id: 1, question: "Why?", answers: { student: answer("", "failed"), teacher: answer("Because", "stopped") } },
  ];
  expect(history(exchanges, "student").map((turn) => turn.content)).toEqual(["6*7?", "42"]);
  expect(history(exchanges, "teacher").map((turn) => turn.content)).toEqual(["6*7?", "42.", "Why?", "Because"]);
  expect(history(exchanges, "start")).toEqual([]);
});
