/** A run's state as a dot and a word; the shape of the dot differs too, so that colour is not all there is. */
import { wordFor } from "../../lib/words";
import { strings } from "../../strings";
import classes from "./ui.module.css";

export function StateChip({ state, detail }: { state: keyof typeof strings.state; detail?: string }) {
  return (
    <span className={classes.chip} data-state={state} title={detail}>
      <span className={classes.dot} aria-hidden />
      {wordFor(strings.state, state)}
    </span>
  );
}
