/**
 * The command by which one goes where a database has moved, to be copied into a shell.
 * @param place a URL without user or password
 */
export function goThere(place: string): string {
  return `midctl context set NAME --use --database-url '${place.replace("//", "//USER@")}'`;
}
