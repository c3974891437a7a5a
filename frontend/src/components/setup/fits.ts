/** Why a choice does not fit, in words; null where it does. In: what was chosen, the machine, the server's tables. */
import type { ConfigSchema, LocalModel, Machine } from "../../api/types";
import { bytes } from "../../lib/format";
import { strings } from "../../strings";

const words = strings.setup.unfit;

/** A model of this machine as the student or as the teacher in this process. */
export function modelUnfit(model: LocalModel, other: string, machine: Machine | undefined): string | null {
  if (!model.has_chat_template) return words.noTemplate;
  if (model.id === other) return words.same;
  const memory = machine?.device.memory_total_bytes;
  if (memory !== undefined && model.num_bytes > memory) return words.tooLarge(bytes(model.num_bytes), bytes(memory));
  return null;
}

/** An option of a setting that depends on the machine or on the teacher. */
export function optionUnfit(
  path: string,
  option: string,
  teacherKind: string,
  schema: ConfigSchema,
  machine: Machine | undefined,
): string | null {
  if (path === "device" && machine && (option === "cuda" || option === "mps") && machine.device.kind !== option) {
    return option === "cuda" ? words.noCuda : words.noMps;
  }
  if (path === "objective.type") {
    const need = schema.objective_needs[option];
    const given = schema.teacher_provides[teacherKind];
    if (need && given && !given.includes(need)) return words.signal(words.signals[need] ?? need);
  }
  return null;
}
