/** The command palette and the keys that work everywhere. */
import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { Spotlight, type SpotlightActionGroupData } from "@mantine/spotlight";
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";

import { useListRunsQuery } from "../api";
import { wordFor } from "../lib/words";
import { strings } from "../strings";
import { KeyboardHelp } from "./KeyboardHelp";
import { singleKeysEnabled } from "./preferences";
import { IconCoins, IconData, IconDrop, IconInfo, IconKeyboard, IconMoon, IconPlay, IconPlus, IconRuns, IconSearch, IconSettings, IconTeacher } from "./ui/icons";
import { useStart } from "./useStart";

/** Second key of "g then …" has to come within this. */
const SEQUENCE_MS = 1200;
const NUM_RUNS = 8;

/** What Enter will do is marked from the start, as it is after the first letter: Mantine has a key for it, no call. */
function markFirst(search: HTMLInputElement | null) {
  if (search) requestAnimationFrame(() => search.dispatchEvent(new KeyboardEvent("keydown", { code: "ArrowDown", bubbles: true })));
}

export function Commands() {
  const [keysOpen, setKeysOpen] = useState(false);
  const onKeys = () => setKeysOpen(true);
  const navigate = useNavigate();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme("light");
  const { data } = useListRunsQuery({});
  const { start, problem } = useStart();
  const leader = useRef(0);

  useEffect(() => {
    if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
  }, [problem]);

  const go = (path: string) => () => {
    void navigate(path);
  };
  const second = (path: string) => () => {
    if (singleKeysEnabled() && Date.now() - leader.current < SEQUENCE_MS) void navigate(path);
    leader.current = 0;
  };
  useHotkeys([
    ["shift+?", () => singleKeysEnabled() && onKeys()],
    ["?", () => singleKeysEnabled() && onKeys()],
    ["g", () => (leader.current = Date.now()), { preventDefault: false }],
    ["d", second("/"), { preventDefault: false }],
    ["r", second("/runs"), { preventDefault: false }],
    ["n", second("/opd"), { preventDefault: false }],
    ["s", second("/settings"), { preventDefault: false }],
  ]);

  const groups: SpotlightActionGroupData[] = [
    {
      group: strings.palette.actions,
      actions: [
        { id: "new", label: strings.palette.newRun, leftSection: <IconPlus />, onClick: go("/opd") },
        { id: "demo", label: strings.palette.demo, leftSection: <IconPlay />, onClick: () => void start({ demo: true }) },
        {
          id: "theme",
          label: strings.palette.theme,
          leftSection: <IconMoon />,
          onClick: () => setColorScheme(scheme === "dark" ? "light" : "dark"),
        },
        { id: "tour", label: strings.tour.start, leftSection: <IconInfo />, onClick: go("/opd?tour") },
        { id: "keys", label: strings.palette.keys, leftSection: <IconKeyboard />, onClick: onKeys },
      ],
    },
    {
      group: strings.palette.go,
      actions: [
        { id: "distil", label: strings.nav.distil, leftSection: <IconDrop />, onClick: go("/") },
        { id: "runs", label: strings.nav.runs, leftSection: <IconRuns />, onClick: go("/runs") },
        { id: "datasets", label: strings.nav.data, leftSection: <IconData />, onClick: go("/datasets") },
        { id: "teachers", label: strings.nav.teachers, leftSection: <IconTeacher />, onClick: go("/teachers") },
        { id: "costs", label: strings.nav.costs, leftSection: <IconCoins />, onClick: go("/costs") },
        { id: "settings", label: strings.nav.settings, leftSection: <IconSettings />, onClick: go("/settings") },
      ],
    },
    {
      group: strings.palette.runs,
      actions: (data?.items ?? []).slice(0, NUM_RUNS).map((run) => ({
        id: run.run_id,
        label: run.name,
        description: `${wordFor(strings.state, run.state)} · ${run.run_id}`,
        onClick: go(`/opd/${run.run_id}`),
      })),
    },
  ];
  return (
    <>
    <KeyboardHelp opened={keysOpen} onClose={() => setKeysOpen(false)} />
    <Spotlight
      actions={groups.filter((group) => group.actions.length > 0)}
      shortcut={null}
      nothingFound={strings.palette.nothing}
      highlightQuery
      scrollable
      maxHeight={420}
      attributes={{ content: { "aria-label": strings.nav.palette } }}
      searchProps={{ ref: markFirst, placeholder: strings.palette.placeholder, leftSection: <IconSearch />, "aria-label": strings.palette.placeholder }}
    />
    </>
  );
}
