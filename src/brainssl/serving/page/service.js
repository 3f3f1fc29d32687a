// The service: asked here alone. What it refuses becomes one line; what passes is waited for.

import { askToken, bearer, tokenInUse } from "./token.js";
import { say } from "./words.js";

const TRIES = 5; // of a service that says that it is busy

export class Fault extends Error {
  // `files`: each with its reason, where none of them could be read.
  constructor(line, { status = 0, files = [] } = {}) {
    super(line);
    this.status = status;
    this.files = files;
  }
}

// Ask, with a form or without. `waits` hears for how many seconds the service is busy, and 0 when it
// is asked again. Who can ask for `less` at once is not asked to wait for an answer that took too
// long. `read` takes what is in the answer.
export async function ask(path, form, waits = () => {}, { read = told, less = false } = {}) {
  for (let tried = 1; ; ) {
    const token = tokenInUse();
    const answer = await sent(path, form);
    if (answer.ok) return read(answer);
    if (answer.status === 401) {
      if (!(await askToken(token))) throw new Fault(say("fault_token"), { status: 401 });
    } else if (answer.headers.has("Retry-After") && !(less && answer.status === 503)) {
      if (tried++ >= TRIES) throw new Fault(say("fault_busy"), { status: answer.status });
      await pause(Number(answer.headers.get("Retry-After")) || 2, waits);
    } else {
      const { error, files = [] } = await told(answer);
      const line = say("fault_said", { status: answer.status, error });
      throw new Fault(line, { status: answer.status, files });
    }
  }
}

async function sent(path, form) {
  try {
    const method = form ? "POST" : "GET";
    return await fetch(path, { method, headers: bearer(), body: form });
  } catch {
    throw new Fault(say("fault_network"));
  }
}

async function told(answer) {
  try {
    return await answer.json();
  } catch {
    throw new Fault(say("fault_odd", { status: answer.status }), { status: answer.status });
  }
}

async function pause(seconds, waits) {
  waits(seconds);
  await new Promise((resolve) => { setTimeout(resolve, 1000 * Math.min(seconds, 60)); });
  waits(0);
}
