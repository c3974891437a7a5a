/** What stood in the way of a change, told where every page tells it. */
import { notifications } from "@mantine/notifications";

import { problemOf } from "../api/errors";

/** Whether the change was made; says why where it was not. */
export function toldIfRefused(answer: { error?: Parameters<typeof problemOf>[0] }): boolean {
  const problem = problemOf(answer.error);
  if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
  return !problem;
}
