/** Datasets: what a file holds and what is wrong with it. */
import { count } from "../lib/format";

export const datasetsStrings = {
  data: {
    title: "Datasets",
    intro: "A dataset is a JSONL file of prompts. Each file is checked line by line before it can be used.",
    preview: "First prompts",
    problems: "What the check found",
    noProblems: "No problems found.",
    samples: "Prompts",
    messages: "Messages",
    average: "Average per prompt",
    system: "System messages",
    references: "Reference answers",
    duplicates: "Duplicates",
    size: "Size",
    length: "Prompt length",
    lengthValue: (median: string, p95: string) => `median ${median}, 95 % under ${p95} characters`,
    format: "Format",
    use: "Use for a run",
    remove: (name: string) => `Delete ${name}`,
    removeTitle: "Delete this dataset?",
    removeText: (name: string) => `${name} is removed from the studio's folder. Runs that were made with it keep their results.`,
    removeSure: "Delete the dataset",
    unusable: "cannot be used",
    answer: "Answer",
    pick: "Choose a dataset to see what is in it",
    fix: "What to do",
    where: (line: number, byte: number) => `line ${count(line)}, byte ${count(byte)}`,
  },
} as const;
