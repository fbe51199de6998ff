/** filesOf are the files that were dropped, those of dropped folders too. */
export async function filesOf(data: DataTransfer): Promise<File[]> {
  // Entries must be taken before the first wait: then the browser forgets them.
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((e) => e != null);
  const plain = [...data.files];
  if (!entries.some((e) => e.isDirectory)) return plain;
  const files: File[] = [];
  for (const e of entries) await walk(e, files);
  return files;
}

async function walk(entry: FileSystemEntry, into: File[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    // A dropped folder's files do not say where they were, as chosen ones do.
    Object.defineProperty(file, 'webkitRelativePath', { value: entry.fullPath.replace(/^\//, '') });
    into.push(file);
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const e of some) await walk(e, into);
  }
}

export const hasFiles = (data: DataTransfer | null): boolean => Boolean(data?.types.includes('Files'));
