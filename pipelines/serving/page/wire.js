// One request over HTTP. Paths are relative, so that a proxy may add a prefix.

/** A refusal or failure, with a message for each field where the service names fields. */
export class ServiceError extends Error {
  constructor(code, message, fields = []) {
    super(message);
    this.code = code;
    this.fields = fields;
  }
}

export async function post(path, body, signal) {
  const form = body instanceof FormData;
  const headers = form ? {} : { "Content-Type": "application/json" };
  return checked(await asked(path, { method: "POST", headers, body: form ? body : JSON.stringify(body), signal }));
}

export async function getJson(path) {
  return (await checked(await asked(path, {}))).json();
}

const KEY = "ddpm-api-key";

/** The API key that all requests of this tab carry from now on. */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function hasKey() {
  return Boolean(sessionStorage.getItem(KEY));
}

async function asked(path, options) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("unreachable", "The service does not answer. Is it still running?");
  }
}

async function checked(answer) {
  if (answer.ok) return answer;
  let error = {};
  try {
    error = (await answer.json()).error ?? {};
  } catch {
    // an answer of a proxy, which is no JSON of ours
  }
  const wait = answer.headers.get("retry-after");
  const message = error.message ?? `The service answered with status ${answer.status}.`;
  const fields = error.fields ?? faultOf(message, error.param);
  throw new ServiceError(answer.status === 401 ? "key_wanted" : error.code, wait ? `${message} Try again in ${wait} s.` : message, fields);
}

/** "steps: must be …" speaks of the field steps. */
function faultOf(message, param) {
  const found = /^([a-z_]+): (.*)$/s.exec(message);
  if (found) return [{ field: found[1], message: found[2] }];
  return param ? [{ field: param, message }] : [];
}
