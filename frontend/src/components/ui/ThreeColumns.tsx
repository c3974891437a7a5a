/** Setup, run and summary side by side with widths that are remembered; on narrow screens as tabs. */
import { Splitter, Tabs } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import type { ReactNode } from "react";

import classes from "./columns.module.css";

/** Below this the middle column would have no room for two charts side by side. */
export const NARROW = "(max-width: 1199px)";
const DEFAULT_SIZES = ["336px", "100%", "344px"];

export interface Column {
  id: string;
  label: string;
  content: ReactNode;
}

interface Props {
  columns: [Column, Column, Column];
  /** Remembered widths, or null. */
  sizes: string[] | null;
  onSizes: (sizes: string[]) => void;
  tab: string;
  onTab: (tab: string) => void;
}

export function ThreeColumns({ columns, sizes, onSizes, tab, onTab }: Props) {
  const isNarrow = useMediaQuery(NARROW, undefined, { getInitialValueInEffect: false });
  if (isNarrow) {
    return (
      <Tabs value={tab} onChange={(value) => value && onTab(value)} className={classes.tabs} keepMounted={false}>
        <Tabs.List grow>
          {columns.map((column) => (
            <Tabs.Tab key={column.id} value={column.id}>
              {column.label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {columns.map((column) => (
          <Tabs.Panel key={column.id} value={column.id} className={classes.panel} data-column={column.id}>
            {column.content}
          </Tabs.Panel>
        ))}
      </Tabs>
    );
  }
  const [left, centre, right] = columns;
  const [leftSize = "336px", , rightSize = "344px"] = sizes ?? DEFAULT_SIZES;
  return (
    <Splitter
      className={classes.columns}
      lineSize={1}
      step="8px"
      shiftStep="64px"
      withHandle={false}
      onSizeChange={(next) => onSizes(next.map(String))}
    >
      <Splitter.Pane defaultSize={px(leftSize)} min="300px" max="520px" className={classes.left} data-column={left.id}>
        {left.content}
      </Splitter.Pane>
      <Splitter.Pane defaultSize="100%" min="25%" className={classes.centre} data-column={centre.id}>
        {centre.content}
      </Splitter.Pane>
      <Splitter.Pane defaultSize={px(rightSize)} min="300px" max="560px" className={classes.right} data-column={right.id}>
        {right.content}
      </Splitter.Pane>
    </Splitter>
  );
}

function px(size: string): `${number}px` {
  const number = Number.parseFloat(size);
  return `${Number.isFinite(number) ? number : 340}px`;
}
