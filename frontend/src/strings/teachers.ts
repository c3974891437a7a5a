/** Teachers: models on this machine and prices of those that are not. */
import { count } from "../lib/format";

export const teachersStrings = {
  teachers: {
    title: "Teachers",
    local: "On this machine",
    localHint: "Each can be teacher or student.",
    localNone: "No models found on this machine",
    localNoneHint: "Type a Hugging Face id in the setup; it is downloaded when the run starts.",
    cloud: "Cloud prices",
    cloudHint: (date: string) => `US dollars per million tokens, as of ${date}.`,
    model: "Model",
    size: "Size",
    parameters: "Parameters",
    contextLength: "Context",
    template: "Chat template",
    yes: "yes",
    no: "no",
    provider: "Provider",
    input: "Input",
    output: "Output",
    cached: "Cached input",
    retires: "Retires",
    filter: "Filter models",
    origin: "From",
    scenarios: "What a run would cost",
    shown: (shown: number, all: number) => `${count(shown)} of ${count(all)} models`,
    showAll: "Show all",
  },
} as const;
