/** Offered on the first visit, once: a tour, or none. */
import { Button } from "@mantine/core";
import { useState } from "react";
import { Link } from "react-router";

import { strings } from "../../strings";
import { readPreference, writePreference } from "../preferences";
import classes from "./Invitation.module.css";

const SEEN = "tour";

export function markTourSeen(): void {
  writePreference(SEEN, "seen");
}

export function Invitation() {
  const [declined, setDeclined] = useState(false);
  if (declined || readPreference(SEEN) === "seen") return null;
  return (
    <div className={classes.invitation}>
      <p>{strings.tour.invitation}</p>
      <Button size="compact-sm" variant="light" component={Link} to="/opd?tour">
        {strings.tour.start}
      </Button>
      <Button
        size="compact-sm"
        variant="subtle"
        color="gray"
        onClick={() => {
          markTourSeen();
          setDeclined(true);
        }}
      >
        {strings.tour.skip}
      </Button>
    </div>
  );
}
