/** What cloud teachers would cost. They cannot be used for a run yet, and nothing here pretends otherwise. */
import { Anchor } from "@mantine/core";
import { Link } from "react-router";

import { strings } from "../../strings";
import { Scenarios } from "../run/Scenarios";
import classes from "./setup.module.css";

export function CloudTeacher() {
  return (
    <div className={classes.stack}>
      <p className="dim">{strings.setup.cloudLater}</p>
      <Scenarios />
      <Anchor component={Link} to="/teachers" size="sm">
        {strings.setup.cloudCatalogue}
      </Anchor>
    </div>
  );
}
