/** The look of the studio on Mantine: ink-tinted greys, a petrol accent, small radii, dense controls. */
import {
  type CSSVariablesResolver,
  createTheme,
  defaultVariantColorsResolver,
  type MantineColorsTuple,
} from "@mantine/core";

import { strings } from "../strings";

const petrol: MantineColorsTuple = [
  "#e8f6f4",
  "#cdeae6",
  "#a3d9d2",
  "#70c5bb",
  "#43b1a5",
  "#2a9c90",
  "#158377",
  "#0c6b63",
  "#0a5852",
  "#08443f",
];

const ink: MantineColorsTuple = [
  "#f4f7f7",
  "#e9eeee",
  "#d9e1e1",
  "#c3cece",
  "#9aabac",
  "#758889",
  "#566869",
  "#3d4d4e",
  "#263334",
  "#142021",
];

/** Mantine paints dark surfaces from this scale: 0 is text, 6 and 7 are surfaces, 9 the deepest. */
const night: MantineColorsTuple = [
  "#dfe8e8",
  "#b4c3c4",
  "#8fa1a3",
  "#647679",
  "#35464a",
  "#27363a",
  "#1a2629",
  "#131d20",
  "#0f181a",
  "#0a1113",
];

const amber: MantineColorsTuple = [
  "#fdf4e3",
  "#f9e6c3",
  "#f2d08d",
  "#ebb954",
  "#dfa22c",
  "#c38716",
  "#a06c0c",
  "#81560a",
  "#664408",
  "#4a3206",
];

const coral: MantineColorsTuple = [
  "#fdeeec",
  "#fad6d1",
  "#f4ada4",
  "#ee8376",
  "#e7604f",
  "#d64532",
  "#bb3423",
  "#98281a",
  "#782016",
  "#561811",
];

export const theme = createTheme({
  colors: { petrol, gray: ink, dark: night, yellow: amber, red: coral },
  primaryColor: "petrol",
  primaryShade: { light: 7, dark: 4 },
  // What is written on a filled control: white on the dark accent of the light theme, ink on the light one of the dark.
  variantColorResolver: (input) => {
    const colors = defaultVariantColorsResolver(input);
    return input.variant === "filled" ? { ...colors, color: "var(--on-filled)", hoverColor: "var(--on-filled)" } : colors;
  },
  black: "#142021",
  fontFamily: '"Inter Variable", ui-sans-serif, system-ui, "Segoe UI", Roboto, sans-serif',
  fontFamilyMonospace: '"JetBrains Mono Variable", ui-monospace, "SF Mono", Menlo, Consolas, monospace',
  fontSizes: { xs: "0.75rem", sm: "0.8125rem", md: "0.875rem", lg: "1rem", xl: "1.125rem" },
  headings: { fontWeight: "620", sizes: { h1: { fontSize: "1.25rem", lineHeight: "1.75rem" } } },
  spacing: { xs: "0.5rem", sm: "0.75rem", md: "1rem", lg: "1.5rem", xl: "2rem" },
  radius: { xs: "3px", sm: "5px", md: "7px", lg: "10px", xl: "16px" },
  defaultRadius: "sm",
  focusRing: "auto",
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    // Plain objects: naming the components here would load them for the first paint.
    Tooltip: {
      defaultProps: { openDelay: 350, multiline: true, maw: 280, events: { hover: true, focus: true, touch: true } },
    },
    // The placeholder that takes the first focus is a child that no menu may have; the first item takes it instead.
    Menu: { defaultProps: { withInitialFocusPlaceholder: false } },
    Popover: { defaultProps: { shadow: "md", radius: "md" } },
    Modal: {
      defaultProps: {
        centered: true,
        radius: "lg",
        overlayProps: { backgroundOpacity: 0.45 },
        closeButtonProps: { "aria-label": strings.app.close },
      },
    },
  },
});

/** Mantine's own variables, pointed at the tokens of tokens.css where they differ. */
export const cssVariables: CSSVariablesResolver = () => {
  const shared = {
    "--mantine-color-body": "var(--surface)",
    "--mantine-color-text": "var(--text)",
    "--mantine-color-dimmed": "var(--text-dim)",
    "--mantine-color-placeholder": "var(--text-faint)",
    "--mantine-color-default": "var(--control)",
    "--mantine-color-default-hover": "var(--control-hover)",
    "--mantine-color-default-border": "var(--line-strong)",
    "--mantine-color-anchor": "var(--accent-text)",
    "--mantine-color-error": "var(--bad-text)",
  };
  return { variables: {}, light: shared, dark: shared };
};
