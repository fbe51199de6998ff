/** keyOf is the key of a file in a folder: "2026/summer" and "a.jpg" make "2026/summer/a.jpg". */
export function keyOf(folder: string, file: { name: string; webkitRelativePath?: string }): string {
  const path = file.webkitRelativePath || file.name;
  return [...folder.split('/'), ...path.split('/')]
    .map((s) => s.trim())
    .filter((s) => s && s !== '.' && s !== '..')
    .join('/');
}
