/** The rail at the left: where one can go, and the two things that are always at hand. */
import { Tooltip, UnstyledButton, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { openSpotlight } from "@mantine/spotlight";
import type { ComponentType } from "react";
import { NavLink } from "react-router";

import { strings } from "../strings";
import classes from "./Sidebar.module.css";
import { IconCoins, IconData, IconDrop, IconMoon, IconRuns, IconSearch, IconSettings, IconSun, IconTeacher } from "./ui/icons";

interface Item {
  to: string;
  label: string;
  Icon: ComponentType<{ size?: number }>;
}

const ITEMS: Item[] = [
  { to: "/opd", label: strings.nav.distil, Icon: IconDrop },
  { to: "/runs", label: strings.nav.runs, Icon: IconRuns },
  { to: "/datasets", label: strings.nav.data, Icon: IconData },
  { to: "/teachers", label: strings.nav.teachers, Icon: IconTeacher },
  { to: "/costs", label: strings.nav.costs, Icon: IconCoins },
  { to: "/settings", label: strings.nav.settings, Icon: IconSettings },
];

export function Sidebar() {
  const scheme = useComputedColorScheme("light");
  const { setColorScheme } = useMantineColorScheme();
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <div className={classes.rail}>
      <NavLink to="/" className={classes.brand} aria-label={strings.app.name}>
        <IconDrop size={24} />
      </NavLink>
      <nav aria-label={strings.nav.label} className={classes.items}>
        {ITEMS.map(({ to, label, Icon }) => (
          // "Distil" leads to the run at work, if there is one; "/" knows.
          <NavLink key={to} to={to === "/opd" ? "/" : to} end={false} className={linkClass(to)}>
            <Icon size={20} />
            <span>{label}</span>
          </NavLink>
        ))}
      </nav>
      <div className={classes.tools}>
        <Tooltip label={`${strings.nav.palette} · Ctrl K`} position="right">
          <UnstyledButton className={classes.tool} aria-label={strings.nav.palette} onClick={openSpotlight}>
            <IconSearch size={18} />
          </UnstyledButton>
        </Tooltip>
        <Tooltip label={strings.nav[other]} position="right">
          <UnstyledButton
            className={classes.tool}
            aria-label={strings.nav[other]}
            onClick={() => setColorScheme(other)}
          >
            {other === "dark" ? <IconMoon size={18} /> : <IconSun size={18} />}
          </UnstyledButton>
        </Tooltip>
      </div>
    </div>
  );
}

function linkClass(to: string) {
  return ({ isActive }: { isActive: boolean }) => {
    const here = to === "/opd" ? /^\/(opd.*)?$/.test(window.location.pathname) : isActive;
    return here ? `${classes.item} ${classes.active}` : classes.item;
  };
}
