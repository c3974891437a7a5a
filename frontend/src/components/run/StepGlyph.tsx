/** Small pictures of the four stations of a run: tokens written, graded, moved, measured. Decoration only. */
const WIDTHS = [18, 10, 24, 14, 20, 8];
const GRADES = [0.15, 0.9, 0.25, 0.1, 0.6, 0.2];

export function StepGlyph({ step }: { step: number }) {
  let x = 0;
  const tokens = WIDTHS.map((width, at) => {
    const token = { x, width, grade: GRADES[at] ?? 0 };
    x += width + 4;
    return token;
  });
  return (
    <svg viewBox="0 0 118 40" width="118" height="40" aria-hidden focusable="false">
      {step < 2 &&
        tokens.map((token) => (
          <rect
            key={token.x}
            x={token.x}
            y={14}
            width={token.width}
            height={12}
            rx={3}
            fill={step === 0 ? "var(--line-strong)" : token.grade > 0.5 ? "var(--sft)" : "var(--after)"}
            opacity={step === 0 ? 0.55 : 0.3 + 0.7 * token.grade}
          />
        ))}
      {step === 2 && (
        <g fill="none" strokeLinecap="round" strokeWidth={2.5}>
          <path d="M2 34C30 34 34 8 62 8s30 10 54 2" stroke="var(--teacher)" strokeDasharray="1 6" />
          <path d="M2 36c24 0 34-8 48-14s30-6 64-10" stroke="var(--after)" />
        </g>
      )}
      {step === 3 && (
        <g strokeLinecap="round" strokeWidth={2.5}>
          {[
            [8, 26, "var(--before)"],
            [20, 58, "var(--sft)"],
            [32, 88, "var(--after)"],
          ].map(([y, at, color]) => (
            <g key={String(y)} stroke={String(color)} fill={String(color)}>
              <path d={`M${Number(at) - 12} ${y}h24`} opacity={0.55} />
              <circle cx={Number(at)} cy={Number(y)} r={3.2} stroke="none" />
            </g>
          ))}
        </g>
      )}
    </svg>
  );
}
