// A browser as visitors have one, for figures of memory: under Playwright a renderer keeps up to 200 MB of what its page has
// fetched, for developer tools. Here the debugging protocol only opens pages and evaluates in them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chromiumPath } from "./browser.mjs";

class Page {
  constructor(browser, session) {
    this.browser = browser;
    this.session = session;
  }

  /** As Playwright's. */
  async evaluate(work, argument) {
    const expression = typeof work === "string" ? work : `(${work})(${JSON.stringify(argument)})`;
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails: failed } = await this.browser.send("Runtime.evaluate", asked, this.session);
    if (failed !== undefined) {
      throw new Error(failed.exception?.description ?? failed.text);
    }
    return result.value;
  }
}

/** Its profile is in `folder`. */
export class BareBrowser {
  constructor(folder) {
    const args = ["--headless", "--no-sandbox", "--no-first-run", `--user-data-dir=${folder}`, "--remote-debugging-pipe"];
    this.child = spawn(chromiumPath(), args, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.waiting = new Map();
    let text = "";
    this.child.stdio[4].setEncoding("utf8").on("data", (piece) => {
      const messages = (text + piece).split("\0");
      text = messages.pop();
      for (const message of messages.map((one) => JSON.parse(one))) {
        this.waiting.get(message.id)?.(message);
        this.waiting.delete(message.id);
      }
    });
  }

  async send(method, params = {}, sessionId = undefined) {
    this.last = (this.last ?? 0) + 1;
    const answer = new Promise((resolve) => this.waiting.set(this.last, resolve));
    this.child.stdio[3].write(`${JSON.stringify({ id: this.last, method, params, sessionId })}\0`);
    const { result, error } = await answer;
    if (error !== undefined) {
      throw new Error(`${method}: ${error.message}`);
    }
    return result;
  }

  /** A page, ready to be told what to do. */
  async open(address) {
    const { targetId } = await this.send("Target.createTarget", { url: address });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    const isReady = () => page.evaluate("globalThis.side !== undefined").catch(() => false); // it still goes there
    while (!(await isReady())) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return page;
  }

  async close() {
    const ended = once(this.child, "exit");
    await this.send("Browser.close");
    await ended;
  }
}
