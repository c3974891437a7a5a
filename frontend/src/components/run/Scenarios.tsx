/** The scenario table: what known cloud teachers would cost at typical amounts, as the server reckons it. */
import { useEstimateCostQuery } from "../../api";
import { count, modelName, shortCount } from "../../lib/format";
import { strings } from "../../strings";
import classes from "./Scenarios.module.css";
import side from "./side.module.css";

export function Scenarios() {
  const { data } = useEstimateCostQuery({ estimateRequest: { scenarios: true } });
  if (!data || data.scenarios.length === 0) return null;
  return (
    <div>
      <table className={classes.scenarios}>
        <thead>
          <tr>
            <th scope="col">{strings.before.scenarioModel}</th>
            <th scope="col">{strings.before.scenarioAmount}</th>
            <th scope="col">{strings.before.scenarioTokens}</th>
            <th scope="col">{strings.before.scenarioCost}</th>
          </tr>
        </thead>
        <tbody>
          {data.scenarios.map((row) => (
            <tr key={`${row.model} ${row.num_prompts} ${row.num_steps}`}>
              <td>{modelName(row.model)}</td>
              <td>
                {count(row.num_prompts)} × {count(row.num_steps)}
              </td>
              <td>{shortCount(row.num_tokens)}</td>
              <td>{row.usd_shown}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className={side.fine}>{data.scenario_note}</p>
    </div>
  );
}
