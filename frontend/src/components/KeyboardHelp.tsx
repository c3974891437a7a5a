/** The list of keys. */
import { Kbd, Modal, Table } from "@mantine/core";

import { strings } from "../strings";

export function KeyboardHelp({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title={strings.keys.title}>
      <Table withRowBorders={false}>
        <Table.Tbody>
          {strings.keys.rows.map(([keys, meaning]) => (
            <Table.Tr key={meaning}>
              <Table.Td w={150}>
                <Kbd size="sm">{keys}</Kbd>
              </Table.Td>
              <Table.Td>{meaning}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
