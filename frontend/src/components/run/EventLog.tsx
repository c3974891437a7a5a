/** What happened, newest first. */
import type { StoredEvent } from "../../api/types";
import { clock } from "../../lib/format";
import { strings } from "../../strings";
import { tell, withoutRepeats } from "./eventWords";
import classes from "./EventLog.module.css";

export function EventLog({ log }: { log: StoredEvent[] }) {
  if (log.length === 0) return <p className="faint">{strings.run.eventsNone}</p>;
  return (
    <ol className={classes.log}>
      {withoutRepeats(log).map((stored) => {
        const { text, detail, tone } = tell(stored.event);
        return (
          <li key={stored.seq} data-tone={tone}>
            <time className="num faint" dateTime={new Date(stored.time * 1000).toISOString()}>
              {clock(stored.time)}
            </time>
            <span className={classes.logDot} aria-hidden />
            <span>
              {text} {detail && <span className={classes.logDetail}>{detail}</span>}
            </span>
          </li>
        );
      })}
    </ol>
  );
}
