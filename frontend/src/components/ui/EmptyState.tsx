/** Nothing here yet: one sentence, one way on. */
import type { ReactNode } from "react";

import classes from "./ui.module.css";

export function EmptyState({ title, hint, icon, children }: { title: string; hint?: string; icon?: ReactNode; children?: ReactNode }) {
  return (
    <div className={classes.empty}>
      {icon && <div className={classes.emptyIcon}>{icon}</div>}
      <p className={classes.emptyTitle}>{title}</p>
      {hint && <p className={classes.emptyHint}>{hint}</p>}
      {children && <div className={classes.emptyActions}>{children}</div>}
    </div>
  );
}
