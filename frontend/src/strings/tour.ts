/** The tour for newcomers. */

export const tourStrings = {
  tour: {
    invitation: "New here? Four steps show what is where.",
    start: "Show me around",
    skip: "No, thanks",
    steps: [
      ["1. Set up", "Choose a teacher, a student and a file of prompts. The recipe has good defaults; every setting explains itself."],
      ["2. Look before you start", "Checks of models and data, and what the run will take: memory, time and money. Start is at the bottom."],
      ["3. Watch it learn", "Curves, and answers to the same questions before and now. A run goes on when you close the page."],
      ["4. Come back", "Runs keeps all of them to compare. Press ? for the keys, Ctrl K or ⌘ K for the commands."],
    ],
    labels: {
      skip: "Skip",
      back: "Back",
      next: "Next",
      close: "Done",
      stepCounter: (current: number, total: number) => `${current} of ${total}`,
    },
  },
} as const;
