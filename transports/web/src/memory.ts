/** What the browser remembers for the caller. Where storage is switched off, reading and writing throw: then nothing is. */
export function recall(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A choice that is not remembered still holds for this visit.
  }
}
