// The same request for a terminal and for Python. Where the service asks for an API key, it is read from the
// environment, so that nobody copies it with the text.

import { el, segmented } from "./dom.js";
import { hasKey } from "./wire.js";

const KEY_NAME = "DDPM_API_KEY";

/** A block with both texts and a button to copy. `request`: {path, body, out, form, files}. */
export function codeBlock(request) {
  let shown = "curl";
  const code = el("code", {});
  const pre = el("pre", { class: "code", tabindex: "0", "aria-label": "The request" }, code);
  const show = (which) => {
    shown = which;
    code.textContent = (which === "curl" ? curl : python)(request);
  };
  show(shown);
  const copy = el("button", { type: "button", class: "ghost" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
  return el("div", { class: "request" },
    el("div", { class: "row spread" }, segmented("This request as", [["curl", "curl"], ["python", "Python"]], shown, show), copy),
    pre);
}

export function curl({ path, body, out, form }) {
  const url = new URL(path, document.baseURI).href;
  const key = hasKey() ? [`  -H "Authorization: Bearer $${KEY_NAME}" \\`] : [];
  if (form) {
    const parts = Object.entries(body).map(([name, value]) => `  -F ${quoted(`${name}=${value}`)} \\`);
    return [`curl -X POST ${url} \\`, ...key, ...parts, `  -o ${out}`].join("\n");
  }
  return [`curl -X POST ${url} \\`, ...key, `  -H 'Content-Type: application/json' \\`,
    `  -d ${quoted(JSON.stringify(body))} \\`, `  -o ${out}`].join("\n");
}

export function python({ path, body, out, form }) {
  const url = new URL(path, document.baseURI).href;
  const key = hasKey() ? `headers={"Authorization": "Bearer " + os.environ["${KEY_NAME}"]}, ` : "";
  const imports = [...(key ? ["import os"] : []), "from pathlib import Path", "", "import httpx", ""];
  if (form) {
    const isFile = (value) => String(value).startsWith("@");
    const list = Object.entries(body);
    const files = list.filter(([, value]) => isFile(value)).map(([name, value]) => `"${name}": open("${value.slice(1)}", "rb")`);
    const data = list.filter(([, value]) => !isFile(value)).map(([name, value]) => `"${name}": ${literal(String(value))}`);
    return [...imports, "answer = httpx.post(", `    "${url}",`, `    files={${files.join(", ")}},`,
      `    data={${data.join(", ")}},`, `    ${key}timeout=120,`, ")",
      "answer.raise_for_status()", `Path("${out}").write_bytes(answer.content)`].join("\n");
  }
  return [...imports, `answer = httpx.post("${url}", json=${literal(body)}, ${key}timeout=120)`,
    "answer.raise_for_status()", `Path("${out}").write_bytes(answer.content)`].join("\n");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${literal(each)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
