/** A titled block of a column. */
import type { ReactNode } from "react";

import classes from "./ui.module.css";

interface Props {
  title: ReactNode;
  step?: number;
  aside?: ReactNode;
  children: ReactNode;
  flush?: boolean;
}

export function Section({ title, step, aside, children, flush = false }: Props) {
  return (
    <section className={classes.section} data-flush={flush || undefined}>
      <div className={classes.sectionHead}>
        <h2 className={classes.sectionTitle}>
          {step !== undefined && <span className={`${classes.stepNumber} num`}>{step}</span>}
          {title}
        </h2>
        {aside && <div className={classes.sectionAside}>{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** A pair of name and value, aligned in rows. */
export function Fact({ name, children, help }: { name: ReactNode; children: ReactNode; help?: string }) {
  return (
    <div className={classes.fact} title={help}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className={classes.facts}>{children}</dl>;
}
