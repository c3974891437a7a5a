/** What the components take from the layers below, under one roof. */
export type { Machine } from "../api/types";
export type { RunView } from "../store/slices/opdSlice";
