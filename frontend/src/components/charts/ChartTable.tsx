/** The numbers behind a chart, for those who cannot or would rather not read a curve. */
import { Modal, ScrollArea, Table } from "@mantine/core";

import { count } from "../../lib/format";
import { bucketed } from "../../lib/series";
import { strings } from "../../strings";
import type { ChartLine } from "./uplotAdapter";

const MAX_ROWS = 200;

interface Props {
  title: string;
  lines: ChartLine[];
  format: (value: number | null | undefined) => string;
  onClose: () => void;
}

export function ChartTable({ title, lines, format, onClose }: Props) {
  const rows = lines.flatMap((line) => {
    const series = bucketed(line.series, Math.floor(MAX_ROWS / lines.length));
    return series.first.map((first, at) => ({
      key: `${line.id} ${first}`,
      label: line.label,
      steps: first === series.last[at] ? count(first) : `${count(first)}–${count(series.last[at])}`,
      mean: format(series.mean[at]),
      low: format(series.min[at]),
      high: format(series.max[at]),
    }));
  });
  return (
    <Modal opened onClose={onClose} title={title} size="lg" scrollAreaComponent={ScrollArea.Autosize}>
      <Table stickyHeader className="num">
        <Table.Thead>
          <Table.Tr>
            {lines.length > 1 && <Table.Th>{strings.chart.series}</Table.Th>}
            <Table.Th>{strings.chart.steps}</Table.Th>
            <Table.Th ta="right">{strings.chart.mean}</Table.Th>
            <Table.Th ta="right">{strings.chart.low}</Table.Th>
            <Table.Th ta="right">{strings.chart.high}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={row.key}>
              {lines.length > 1 && <Table.Td>{row.label}</Table.Td>}
              <Table.Td>{row.steps}</Table.Td>
              <Table.Td ta="right">{row.mean}</Table.Td>
              <Table.Td ta="right">{row.low}</Table.Td>
              <Table.Td ta="right">{row.high}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
