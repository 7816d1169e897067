import type { ControlledDocument } from "../controlled-document.ts";
import type { View } from "../view.ts";
import { controlledTable } from "./controlled-table.ts";

export function viewRevoke(document: ControlledDocument): View {
  return controlledTable(document, "Revoked", "revoked");
}
