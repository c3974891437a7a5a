/** The left column of a new run: teacher, student, data, recipe, and every other setting behind "Advanced". */
import { Alert, SegmentedControl } from "@mantine/core";
import { useGetSystemQuery, useListTeachersQuery } from "../../api";
import { strings } from "../../strings";
import { HelpTip } from "../ui/HelpTip";
import { Section } from "../ui/Section";
import { CloudTeacher } from "./CloudTeacher";
import { DataPicker } from "./DataPicker";
import { modelUnfit } from "./fits";
import { ModelPicker } from "./ModelPicker";
import { Recipe } from "./Recipe";
import { ServerTeacher } from "./ServerTeacher";
import classes from "./setup.module.css";
import { TeacherFinding } from "./TeacherFinding";
import type { Draft } from "./useDraft";

export function SetupPanel({ draft }: { draft: Draft }) {
  const { data: teachers } = useListTeachersQuery();
  const { data: machine } = useGetSystemQuery();
  const models = teachers?.local_models ?? [];
  const text = (path: string) => {
    const value = draft.get(path);
    return typeof value === "string" ? value : "";
  };
  const teacher = text("teacher.model");
  const student = text("student.model");
  const kind = text("teacher.type");
  return (
    <>
      <Section
        step={1}
        title={strings.setup.teacher}
        aside={<HelpTip label={strings.setup.teacher} text={strings.setup.teacherHelp} />}
      >
        <div className={classes.stack}>
          <SegmentedControl
            fullWidth
            size="sm"
            aria-label={strings.setup.teacherKind}
            value={kind}
            onChange={(value) => value !== kind && draft.set("teacher.type", value)}
            data={[
              { value: "chat", label: strings.setup.cloud },
              { value: "local", label: strings.setup.local },
              { value: "server", label: strings.setup.serverKind },
            ]}
          />
          {kind === "chat" && <CloudTeacher draft={draft} />}
          {kind === "server" && <ServerTeacher draft={draft} />}
          {kind === "local" && (
              <ModelPicker
                label={strings.setup.teacher}
                value={teacher}
                models={models}
                problem={draft.problems["teacher.model"]}
                unfit={(model) => modelUnfit(model, student, machine)}
                onChange={(model) => draft.set("teacher.model", model)}
              />
          )}
          {kind !== "chat" && <TeacherFinding draft={draft} />}
        </div>
      </Section>
      <Section
        step={2}
        title={strings.setup.student}
        aside={<HelpTip label={strings.setup.student} text={strings.setup.studentHelp} />}
      >
        <div className={classes.stack}>
          <ModelPicker
            label={strings.setup.student}
            value={student}
            models={models}
            problem={draft.problems["student.model"]}
            unfit={(model) => modelUnfit(model, teacher, machine)}
            onChange={(model) => draft.set("student.model", model)}
          />
          {teacher !== "" && teacher === student && (
            <Alert color="yellow" p="xs">
              {strings.setup.sameModel}
            </Alert>
          )}
        </div>
      </Section>
      <Section
        step={3}
        title={strings.setup.data}
        aside={<HelpTip label={strings.setup.data} text={strings.setup.dataHelp} />}
      >
        <DataPicker
          path={text("data.path")}
          testFraction={Number(draft.get("data.test_fraction") ?? 0)}
          testPath={text("data.test_path") || null}
          problem={draft.problems["data.path"]}
          onChange={(path) => draft.set("data.path", path)}
        />
      </Section>
      <Section
        step={4}
        title={strings.setup.recipe}
        aside={<HelpTip label={strings.setup.recipe} text={strings.setup.recipeHelp} />}
      >
        <Recipe draft={draft} machine={machine} />
      </Section>
    </>
  );
}
