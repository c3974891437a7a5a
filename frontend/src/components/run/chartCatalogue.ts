/** Which metric is drawn where, with its words, unit and colour. Metrics that are not listed get a chart of their own. */
import { duration, learningRate, percent, shortCount, usd, value } from "../../lib/format";

type Format = (value: number | null | undefined) => string;

export interface ChartSpec {
  id: string;
  title: string;
  unit: string;
  help: string;
  format: Format;
  lines: { metric: string; label: string; color: string; dash?: number[] }[];
  /** Shown without asking for all. */
  isKey: boolean;
}

const share: Format = (number) => percent(number);
const tokens: Format = (number) => (number == null ? value(number) : number.toFixed(number < 100 ? 1 : 0));
const seconds: Format = (number) => duration(number);

function one(metric: string, title: string, unit: string, help: string, color: string, format: Format, isKey = false): ChartSpec {
  return { id: metric, title, unit, help, format, isKey, lines: [{ metric, label: title, color }] };
}

export const CHARTS: ChartSpec[] = [
  one("loss", "Loss", "", "What each step minimizes. How it falls matters, its height does not.", "var(--chart-1)", value, true),
  one(
    "reverse_kl",
    "Reverse KL",
    "nats/token",
    "How far the student's own text is from what the teacher would write. Lower is closer.",
    "var(--chart-3)",
    value,
    true,
  ),
  {
    id: "completion_tokens",
    title: "Length",
    unit: "tokens",
    help: "Tokens per completion: the mean and the longest of each step. A rise to the limit is a warning.",
    format: tokens,
    isKey: true,
    lines: [
      { metric: "completion_tokens/mean", label: "mean", color: "var(--chart-2)" },
      { metric: "completion_tokens/max", label: "longest", color: "var(--chart-7)", dash: [4, 4] },
    ],
  },
  {
    id: "entropy",
    title: "Entropy",
    unit: "nats/token",
    help: "How undecided the models are at each token. A student that falls far below its teacher has become too sure.",
    format: value,
    isKey: true,
    lines: [
      { metric: "entropy", label: "student", color: "var(--chart-5)" },
      { metric: "teacher_entropy", label: "teacher", color: "var(--teacher)", dash: [4, 4] },
    ],
  },
  {
    id: "ends",
    title: "Endings",
    unit: "",
    help: "Completions that ended by themselves, and those cut at the longest completion.",
    format: share,
    isKey: true,
    lines: [
      { metric: "eos_share", label: "ended", color: "var(--chart-6)" },
      { metric: "truncated_share", label: "cut", color: "var(--chart-4)", dash: [4, 4] },
    ],
  },
  one("tokens_per_s", "Throughput", "tokens/s", "Completion tokens per second of wall time.", "var(--chart-8)", shortCount, true),
  one("grad_norm", "Gradient norm", "", "Length of the gradient before it is clipped.", "var(--chart-4)", value),
  one("learning_rate", "Learning rate", "", "As the schedule gives it.", "var(--chart-8)", learningRate),
  one("time/step_s", "Time per step", "", "Wall time of one optimizer step.", "var(--chart-7)", seconds),
  one("on_policy_share", "On-policy share", "of rows", "Rows that the student wrote itself in this step.", "var(--chart-1)", share),
  one("num_tokens", "Tokens so far", "", "Completion tokens trained on since the start.", "var(--chart-8)", shortCount),
  one("spent_usd", "Spent", "", "Dollars that the run has spent on its teacher so far.", "var(--chart-4)", usd),
];

const CANDIDATE_COLORS = ["var(--chart-1)", "var(--chart-2)", "var(--chart-3)", "var(--chart-4)", "var(--chart-5)", "var(--chart-6)"];
const DRAWN = new Set(CHARTS.flatMap((chart) => chart.lines.map((line) => line.metric)));

export type Stage = "distillation" | "warm_start" | "baseline";

/** The charts that a run's metrics allow in one of its stages. */
export function chartsFor(metrics: readonly string[], stage: Stage): ChartSpec[] {
  return stage === "distillation" ? distillationCharts(metrics) : stageCharts(metrics, stage);
}

function distillationCharts(metrics: readonly string[]): ChartSpec[] {
  const present = new Set(metrics);
  const known = CHARTS.map((chart) => ({ ...chart, lines: chart.lines.filter((line) => present.has(line.metric)) }));
  const others = metrics
    .filter((metric) => !DRAWN.has(metric) && !/^(warm_start|baseline)\//.test(metric))
    .map((metric) => one(metric, words(metric), "", metric, "var(--chart-8)", metric.endsWith("_s") ? seconds : value));
  return [...known.filter((chart) => chart.lines.length > 0), ...others];
}

/** Other stages log fewer metrics; the baseline's candidates are told apart by their learning rate: loss@0.0001. */
function stageCharts(metrics: readonly string[], stage: Stage): ChartSpec[] {
  const own = metrics.filter((metric) => metric.startsWith(`${stage}/`));
  const names = [...new Set(own.map((metric) => metric.slice(stage.length + 1).split("@")[0] ?? metric))];
  return names.map((name) => {
    const model = CHARTS.find((chart) => chart.lines.some((line) => line.metric === name));
    const members = own.filter((metric) => metric.slice(stage.length + 1).split("@")[0] === name);
    return {
      id: `${stage}/${name}`,
      title: model?.title ?? words(name),
      unit: model?.unit ?? "",
      help: model?.help ?? name,
      format: model?.format ?? value,
      isKey: name === "loss" || name === "entropy",
      lines: members.map((metric, at) => ({
        metric,
        label: metric.includes("@") ? `learning rate ${learningRate(Number(metric.split("@")[1]))}` : (model?.title ?? name),
        color: CANDIDATE_COLORS[at % CANDIDATE_COLORS.length] ?? "var(--chart-1)",
      })),
    };
  });
}

function words(metric: string): string {
  const text = metric.replaceAll(/[_/]/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
