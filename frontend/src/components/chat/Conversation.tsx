/** Questions and, below each, the answers side by side. What a model writes is only ever text. */
import type { Who } from "../../api/types";
import { strings } from "../../strings";
import { FailureNotice } from "../ui/Notice";
import classes from "./chat.module.css";
import type { Answer, Exchange } from "./useConversation";

export const ORDER: Who[] = ["start", "student", "teacher"];
export const COLORS: Record<Who, string> = { start: "var(--before)", student: "var(--after)", teacher: "var(--teacher)" };

export function Conversation({ exchanges, isWriting }: { exchanges: Exchange[]; isWriting: boolean }) {
  return (
    <div className={classes.log} role="log" aria-label={strings.chat.log} aria-busy={isWriting}>
      {exchanges.map((exchange) => (
        <article key={exchange.id} className={classes.exchange} ref={show}>
          <p className={classes.question}>
            <span className="visually-hidden">{strings.chat.you}: </span>
            {exchange.question}
          </p>
          <div className={classes.answers}>
            {ORDER.map((who) => {
              const answer = exchange.answers[who];
              return answer && <OneAnswer key={who} who={who} answer={answer} />;
            })}
          </div>
        </article>
      ))}
    </div>
  );
}

/** What is asked is scrolled to, not left behind the composer. */
function show(exchange: HTMLElement | null) {
  exchange?.scrollIntoView({ block: "start" });
}

function OneAnswer({ who, answer }: { who: Who; answer: Answer }) {
  return (
    <section className={classes.answer} aria-label={strings.chat.who[who]} style={{ borderTopColor: COLORS[who] }}>
      <h2 className={classes.who}>{strings.chat.who[who]}</h2>
      {(answer.text || answer.state !== "failed") && (
        <p className={`${classes.text} mono`}>
          {answer.text || (answer.state === "done" && <span className="faint">{strings.chat.nothing}</span>)}
          {answer.state === "writing" && (
            <span className={classes.cursor}>
              <span className="visually-hidden">{strings.chat.writing}</span>
            </span>
          )}
        </p>
      )}
      {answer.failure && <FailureNotice failure={answer.failure} />}
      <p className={`${classes.figures} num`}>{figures(answer)}</p>
    </section>
  );
}

function figures(answer: Answer): string {
  const { state, numTokens, seconds, isCut } = answer;
  if (state === "stopped") return strings.chat.stopped;
  if (state !== "done") return "";
  const speed = strings.chat.figures(numTokens, numTokens / Math.max(seconds, 0.001));
  return isCut ? `${speed} · ${strings.chat.cut}` : speed;
}
