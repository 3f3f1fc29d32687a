// Files come in: chosen, dropped (folders too), or pasted.

import { byId } from "./elements.js";

// `take` gets a list of {file, name, folder}, in the order of their names; `miss` the names of what
// was dropped and cannot be opened.
export function bindUploads(take, miss) {
  const given = (found) => {
    const kept = found.filter(({ name }) => !name.startsWith(".")); // what systems leave in folders
    const inOrder = new Intl.Collator(undefined, { numeric: true });
    kept.sort((one, other) => inOrder.compare(one.folder, other.folder)
      || inOrder.compare(one.name, other.name));
    if (kept.length) take(kept);
  };
  for (const [button, input] of [["choose", "files"], ["choose-folder", "folder"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", ({ target }) => {
      given([...target.files].map(plain));
      target.value = ""; // so that the same file can be chosen again
    });
  }
  addEventListener("paste", (event) => given([...(event.clipboardData?.files ?? [])].map(plain)));
  const drop = byId("drop");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    if (!items.some((item) => item?.isDirectory)) {
      given([...event.dataTransfer.files].map(plain));
      return;
    }
    const lost = [];
    given(await walked(items, lost));
    if (lost.length) miss(lost);
  });
}

function plain(file) {
  const folder = file.webkitRelativePath?.split("/").slice(0, -1).join("/") ?? "";
  return { file, name: file.name, folder };
}

// All files in folders; the names of what cannot be opened go to `lost`.
async function walked(items, lost, folder = "") {
  const found = [];
  for (const item of items.filter(Boolean)) {
    try {
      if (item.isFile) {
        const file = await new Promise((resolve, reject) => { item.file(resolve, reject); });
        found.push({ file, name: file.name, folder });
      } else {
        found.push(...(await walked(await children(item), lost, `${folder}${item.name}/`)));
      }
    } catch {
      lost.push(item.name);
    }
  }
  return found;
}

// A reader gives at most a hundred at a time.
async function children(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return all;
    all.push(...some);
  }
}
