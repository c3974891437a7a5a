/** Who answers: how far each model is loaded, and why one is not. */
import { Loader } from "@mantine/core";

import type { Chat } from "../../api/types";
import { wordFor } from "../../lib/words";
import { strings } from "../../strings";
import { IconCheck, IconWarn } from "../ui/icons";
import classes from "./chat.module.css";
import { COLORS, ORDER } from "./Conversation";

export function Voices({ chat }: { chat: Chat }) {
  const voices = ORDER.flatMap((who) => chat.voices.find((voice) => voice.who === who) ?? []);
  return (
    <>
      <ul className={classes.voices} aria-live="polite">
        {voices.map(({ who, state, error }) => (
          <li key={who} className={classes.voice} data-state={state} style={{ borderLeftColor: COLORS[who] }}>
            <strong>{strings.chat.who[who]}</strong>
            <span className="dim">{strings.chat.whoHelp[who]}</span>
            <span className={classes.voiceState}>
              {state === "loading" && <Loader size={12} aria-hidden />}
              {state === "ready" && <IconCheck size={14} />}
              {state === "failed" && <IconWarn size={14} />}
              {wordFor(strings.chat.state, state)}
            </span>
            {error && (
              <span className={classes.voiceError}>
                {error.message} {error.hint}
              </span>
            )}
          </li>
        ))}
      </ul>
      {chat.no_teacher && <p className={`faint ${classes.noTeacher}`}>{chat.no_teacher}</p>}
    </>
  );
}
