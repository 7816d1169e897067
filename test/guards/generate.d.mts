export function renderGuards(): Promise<string>;
