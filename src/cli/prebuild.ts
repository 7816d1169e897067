/** What the build asks of the commands' definitions; no part of the program itself. */
import { renderRootHelp } from "./help.ts";

export { renderReference } from "./reference.ts";

/** The text of `midctl --help`, stored so that it costs no more than printing it. */
export const rootHelp: Promise<string> = renderRootHelp();
