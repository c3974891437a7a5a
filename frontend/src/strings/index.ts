/**
 * Every text of the page, one file a page: to translate it, to keep one word per thing, to read it in one go.
 *
 * Texts of the server (errors, help of settings, verdicts, alarms) are not here: they come from where they are true.
 */
import { beforeStrings } from "./before";
import { chartsStrings } from "./charts";
import { chatStrings } from "./chat";
import { costsStrings } from "./costs";
import { datasetsStrings } from "./datasets";
import { exportStrings } from "./exports";
import { frameStrings } from "./frame";
import { providerKeysStrings } from "./keys";
import { runStrings } from "./run";
import { runsStrings } from "./runs";
import { settingsStrings } from "./settings";
import { setupStrings } from "./setup";
import { teachersStrings } from "./teachers";
import { tourStrings } from "./tour";
import { verdictStrings } from "./verdict";

export const strings = {
  ...frameStrings,
  ...setupStrings,
  ...beforeStrings,
  ...runStrings,
  ...chartsStrings,
  ...verdictStrings,
  ...exportStrings,
  ...chatStrings,
  ...runsStrings,
  ...datasetsStrings,
  ...teachersStrings,
  ...providerKeysStrings,
  ...costsStrings,
  ...tourStrings,
  ...settingsStrings,
} as const;
