// What is sent of files, and how a slice is told in every answer about them.

// The name under which a file is sent. Its own may name a patient: that stays in the browser.
export const sentName = (entry) => {
  const suffix = /(\.nii)?\.[a-z0-9]{1,5}$/i.exec(entry.name)?.[0] ?? "";
  return `${String(entry.id).padStart(4, "0")}${suffix.toLowerCase()}`;
};

export function formOf(entries, fields = {}) {
  const form = new FormData();
  for (const entry of entries) form.append("files", entry.file, sentName(entry));
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

export const keyOf = ({ file, slice }) => `${file}#${slice ?? ""}`;
