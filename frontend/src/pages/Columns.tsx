/** Three columns whose widths this browser remembers. */
import { useState } from "react";

import { readPreference, writePreference } from "../components/preferences";
import { type Column, ThreeColumns } from "../components/ui/ThreeColumns";

const WIDTHS = "columns";

interface ColumnsProps {
  columns: [Column, Column, Column];
  tab: string;
  onTab: (tab: string) => void;
}

export function Columns(props: ColumnsProps) {
  const [sizes] = useState(() => readPreference(WIDTHS)?.split(" ") ?? null);
  return <ThreeColumns {...props} sizes={sizes} onSizes={(next) => writePreference(WIDTHS, next.join(" "))} />;
}
