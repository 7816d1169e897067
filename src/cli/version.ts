declare const __MIDCTL_VERSION__: string | undefined;

/** midctl's own version, set by the build. */
export const midctlVersion: string =
  typeof __MIDCTL_VERSION__ === "string" ? __MIDCTL_VERSION__ : "0.0.0-unbuilt";
