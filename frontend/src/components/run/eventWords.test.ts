import { expect, it } from "vitest";

import type { StoredEvent } from "../../api/types";
import { withoutRepeats } from "./eventWords";

const events = (...kinds: string[]) =>
  kinds.map((kind, index) => ({ seq: index + 1, time: index, event: { kind } }) as unknown as StoredEvent);

it("tells what happened newest first, and of payments in a row only the newest", () => {
  const log = events("phase_started", "money_spent", "money_spent", "stage_finished", "money_spent");
  expect(withoutRepeats(log).map((stored) => stored.seq)).toEqual([5, 4, 3, 1]);
});
