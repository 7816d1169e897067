import type { ControlledDocument } from "../controlled-document.ts";
import type { View } from "../view.ts";
import { controlledTable } from "./controlled-table.ts";

export function viewResume(document: ControlledDocument): View {
  return controlledTable(document, "Resumed", "active");
}
