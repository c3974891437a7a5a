/** A finished run's model for other programs. */
import { plural } from "../lib/format";

export const exportStrings = {
  export: {
    title: "Use it elsewhere",
    form: "Form",
    forms: {
      merged: { name: "Model folder", help: "Complete weights, tokenizer and chat template, as Transformers, vLLM and most programs load them." },
      gguf: { name: "GGUF", help: "One file for llama.cpp, LM Studio and what is built on them." },
      ollama: { name: "Ollama", help: "A GGUF file and a Modelfile with the chat template in Ollama's words." },
      lora: { name: "Adapters", help: "The low-rank adapters alone, as PEFT loads them onto the student the run began with." },
    },
    start: (name: string) => `Export as ${name}`,
    again: "Export again",
    progress: "Progress of the export",
    proven: (number: number) => `Read back and compared: ${plural(number, "check")}`,
    copyPath: "Copy the folder's path",
    copyCommand: "Copy the command",
    failed: "Nothing was exported",
  },
};
