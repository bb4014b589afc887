import { expect, test } from "vitest";
import { annotationsOf } from "../../services/kube/managed-fields.ts";

/** An entry as the API server writes it. */
const entry = (manager: string, operation: string, ...keys: readonly string[]) => ({
  manager,
  operation,
  apiVersion: "apps/v1",
  fieldsType: "FieldsV1",
  fieldsV1: {
    "f:metadata": {
      "f:annotations": { ".": {}, ...Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) },
    },
  },
});
const spec = {
  manager: "restate-operator",
  operation: "Apply",
  fieldsV1: { "f:spec": { "f:replicas": {} } },
};

test.each([
  { what: "nothing is known", managedFields: undefined, expected: [] },
  { what: "only a spec was set", managedFields: [spec], expected: [] },
  {
    what: "a manager that is asked for set some, by create or apply, another others",
    managedFields: [
      entry("restate-operator", "Update", "b", "f:odd"),
      entry("restate-operator", "Apply", "a", "b"),
      entry("kubectl", "Update", "c"),
      spec,
    ],
    expected: ["a", "b", "f:odd"],
  },
  {
    what: "an entry is not as entries are",
    managedFields: [{ manager: "restate-operator", fieldsV1: { "f:metadata": [] } }],
    expected: [],
  },
])("annotations by manager: $what", ({ managedFields, expected }) => {
  const metadata = managedFields === undefined ? {} : { managedFields };
  expect(annotationsOf(metadata, ["restate-operator"])).toEqual(expected);
});
