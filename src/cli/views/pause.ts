import type { ControlledDocument } from "../controlled-document.ts";
import type { View } from "../view.ts";
import { controlledTable } from "./controlled-table.ts";

export function viewPause(document: ControlledDocument): View {
  return controlledTable(document, "Paused", "paused");
}
