/** Talk to a run's student beside the model it began as and its teacher. */
import { Button } from "@mantine/core";
import { Link, useParams } from "react-router";

import { useCloseChatMutation, useGetChatQuery, useGetRunQuery, useOpenChatMutation } from "../api";
import { problemOf } from "../api/errors";
import type { Chat } from "../api/types";
import { Composer } from "../components/chat/Composer";
import { Conversation } from "../components/chat/Conversation";
import { useConversation } from "../components/chat/useConversation";
import { Voices } from "../components/chat/Voices";
import { Pending } from "../components/Pending";
import { probePrompts } from "../components/run/derive";
import { EmptyState } from "../components/ui/EmptyState";
import { IconChat, IconDrop } from "../components/ui/icons";
import { FailureNotice } from "../components/ui/Notice";
import { useRun } from "../store/hooks";
import { strings } from "../strings";
import page from "./page.module.css";

const LOADING_POLL_MS = 600;
/** Often enough to notice that the models were let go. */
const OPEN_POLL_MS = 5000;
const NUM_TRIES = 3;

export function PlaygroundPage() {
  const { runId = "" } = useParams();
  const { currentData: run, error, refetch } = useGetRunQuery({ runId });
  if (error && "status" in error && error.status === 404) {
    return <EmptyState title={strings.run.gone} hint={strings.run.goneHint} icon={<IconDrop size={24} />} />;
  }
  if (!run) return <Pending error={error} onRetry={refetch} />;
  const hasStudent = run.files.some((file) => file.name === "student/config.json");
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.chat.title}</h1>
        <Link className={page.nameLink} to={`/opd/${runId}`}>
          {run.status.name}
        </Link>
      </div>
      <p className={page.intro}>{strings.chat.intro}</p>
      {hasStudent ? (
        <Playground key={runId} runId={runId} />
      ) : (
        <EmptyState title={strings.chat.noStudent} hint={strings.chat.noStudentHint} icon={<IconChat size={24} />} />
      )}
    </div>
  );
}

/** How often to look, by how far the models are. */
function pace(chat: Chat | undefined): number {
  if (chat?.state !== "open") return 0;
  const isLoading = chat.voices.length === 0 || chat.voices.some(({ state }) => state === "waiting" || state === "loading");
  return isLoading ? LOADING_POLL_MS : OPEN_POLL_MS;
}

function Playground({ runId }: { runId: string }) {
  const known = useGetChatQuery({ runId });
  const { data: chat, error, refetch } = useGetChatQuery({ runId }, { pollingInterval: pace(known.data) });
  const [open, opening] = useOpenChatMutation();
  const [close] = useCloseChatMutation();
  const conversation = useConversation(runId);
  const { view } = useRun(runId);
  if (!chat) return <Pending error={error} onRetry={refetch} />;
  const isOpen = chat.state === "open";
  const problem = problemOf(opening.error);
  const ready = chat.voices.filter((voice) => voice.state === "ready").map((voice) => voice.who);
  const tries = probePrompts(view?.samples ?? []).slice(0, NUM_TRIES).map(({ prompt }) => prompt);
  return (
    <>
      {isOpen && <Voices chat={chat} />}
      <Conversation exchanges={conversation.exchanges} isWriting={conversation.isWriting} />
      {!isOpen && (
        <EmptyState
          title={chat.state === "idle" ? strings.chat.idleTitle : strings.chat.emptyTitle}
          hint={chat.state === "idle" ? strings.chat.idleHint(chat.idle_s) : strings.chat.emptyHint(chat.idle_s)}
          icon={<IconChat size={24} />}
        >
          <Button loading={opening.isLoading} onClick={() => void open({ runId })}>
            {strings.chat.load}
          </Button>
        </EmptyState>
      )}
      {problem && <FailureNotice failure={problem} />}
      {!problem && chat.error && <FailureNotice failure={chat.error} />}
      {isOpen && (
        <>
          <Composer
            initial={{ temperature: chat.temperature, top_p: chat.top_p, max_tokens: chat.max_tokens }}
            tries={tries}
            canSend={ready.length > 0}
            isWriting={conversation.isWriting}
            onSend={(text, sampling) => conversation.send(text, ready, sampling)}
            onStop={conversation.stop}
          />
          <div className={page.after}>
            {conversation.exchanges.length > 0 && (
              <Button size="xs" variant="default" onClick={conversation.reset}>
                {strings.chat.fresh}
              </Button>
            )}
            <Button size="xs" variant="default" onClick={() => void close({ runId })}>
              {strings.chat.close}
            </Button>
          </div>
        </>
      )}
    </>
  );
}
