/** The store as hooks, and the life of a run's stream in the life of a component. */
import { useEffect, useRef } from "react";
import { useDispatch, useSelector, useStore } from "react-redux";

import type { AppDispatch, AppStore, RootState } from "./index";
import { RunStream } from "./runStream";
import { type RunView, selectRun } from "./slices/opdSlice";

export const useAppDispatch = useDispatch.withTypes<AppDispatch>();
export const useAppSelector = useSelector.withTypes<RootState>();
export const useAppStore = useStore.withTypes<AppStore>();

/** Follows a run while the component is shown; answers what is known of it and how to reconnect at once. */
export function useRun(runId: string | undefined): { view: RunView | undefined; retryNow: () => void } {
  const store = useAppStore();
  const stream = useRef<RunStream | null>(null);
  useEffect(() => {
    if (!runId) return;
    const made = new RunStream(store, runId);
    stream.current = made;
    made.open();
    return () => {
      made.close();
      stream.current = null;
    };
  }, [store, runId]);
  const view = useAppSelector((state) => selectRun(state, runId));
  return { view, retryNow: () => stream.current?.retryNow() };
}
