// Firefox of the system, headless, driven through Marionette: the protocol behind geckodriver, JSON arrays over
// TCP, so that no driver has to be installed. Commands are WebDriver's; chrome scripts see the browser's modules.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 180_000;

// Nothing is asked of other machines: updates, settings, reports, captive portals.
const QUIET = {
  'app.normandy.enabled': false,
  'app.update.disabledForTesting': true,
  'browser.safebrowsing.downloads.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.search.update': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'browser.topsites.contile.enabled': false,
  'browser.newtabpage.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.update.enabled': false,
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.server': '',
  'marionette.port': 0, // any; the profile's MarionetteActivePort says which
};

/** The program, or null where there is none. FIREFOX names another. @returns {string | null} */
export function findFirefox() {
  for (const name of [process.env.FIREFOX, 'firefox-esr', 'firefox'].filter((name) => name !== undefined)) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8' }).trim();
    } catch {
      // the next
    }
  }
  return null;
}

export class Firefox {
  #process;
  #folder;
  #socket;
  #received = Buffer.alloc(0);
  #replies = new Map();
  #last = 0;

  /** @param {string} program @param {Record<string, unknown>} [prefs] */
  static async start(program, prefs = {}) {
    const firefox = new Firefox();
    try {
      await firefox.#start(program, prefs);
    } catch (error) {
      await firefox.close();
      throw error;
    }
    return firefox;
  }

  async #start(program, prefs) {
    this.#folder = mkdtempSync(join(tmpdir(), 'lorapress-firefox-'));
    const profile = join(this.#folder, 'profile');
    mkdirSync(profile);
    const lines = Object.entries({ ...QUIET, ...prefs }).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
    );
    writeFileSync(join(profile, 'user.js'), lines.join(''));
    this.#process = spawn(
      program,
      ['--headless', '--no-remote', '--profile', profile, '--marionette', '--remote-allow-system-access'],
      { stdio: 'ignore', env: { ...process.env, HOME: this.#folder, MOZ_CRASHREPORTER_DISABLE: '1' } },
    );
    const file = join(profile, 'MarionetteActivePort');
    for (const end = Date.now() + START_MS; !existsSync(file) || readFileSync(file).length === 0; ) {
      if (this.#process.exitCode !== null || Date.now() > end) {
        throw new Error(`${program} does not start: exit status ${this.#process.exitCode}`);
      }
      await sleep(50);
    }
    this.#socket = connect(Number(readFileSync(file, 'utf8')), '127.0.0.1');
    this.#socket.on('data', (bytes) => this.#receive(bytes));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('Firefox has closed the connection')));
    await once(this.#socket, 'connect');
    const session = await this.command('WebDriver:NewSession', { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
    this.version = session.capabilities.browserVersion;
    await this.command('WebDriver:SetTimeouts', { script: 600_000, pageLoad: 120_000 });
  }

  /** A message is its length, a colon and JSON: [1, id, error, result], or the greeting, an object. */
  #receive(bytes) {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      const colon = this.#received.indexOf(':');
      const size = colon < 0 ? Number.NaN : Number(this.#received.subarray(0, colon));
      if (Number.isNaN(size) || this.#received.length < colon + 1 + size) {
        return;
      }
      const message = JSON.parse(this.#received.subarray(colon + 1, colon + 1 + size).toString());
      this.#received = this.#received.subarray(colon + 1 + size);
      if (Array.isArray(message)) {
        const [, id, error, result] = message;
        const { resolve, reject } = this.#replies.get(id);
        this.#replies.delete(id);
        error === null ? resolve(result) : reject(new Error(`${error.error}: ${error.message}`));
      }
    }
  }

  #fail(error) {
    for (const { reject } of this.#replies.values()) {
      reject(error);
    }
    this.#replies.clear();
  }

  /** @param {string} name @param {object} [parameters] @returns {Promise<any>} */
  command(name, parameters = {}) {
    const id = ++this.#last;
    const message = JSON.stringify([0, id, name, parameters]);
    return new Promise((resolve, reject) => {
      this.#replies.set(id, { resolve, reject });
      this.#socket.write(`${Buffer.byteLength(message)}:${message}`);
    });
  }

  /** @param {string} url */
  open(url) {
    return this.command('WebDriver:Navigate', { url });
  }

  /**
   * Runs an async function's source in the page, or, `chrome`, in the browser's own window; its result is JSON.
   * @param {(...args: any[]) => any} body
   * @param {unknown[]} [args]
   * @param {'content' | 'chrome'} [context]
   */
  async run(body, args = [], context = 'content') {
    await this.command('Marionette:SetContext', { value: context });
    const script = `const done = arguments[arguments.length - 1];
      (${body})(...Array.prototype.slice.call(arguments, 0, -1)).then(
        (value) => done({ value }), (error) => done({ error: String(error) + "\\n" + error?.stack }));`;
    const { value } = await this.command('WebDriver:ExecuteAsyncScript', { script, args, newSandbox: true, sandbox: null });
    if (value.error !== undefined) {
      throw new Error(value.error);
    }
    return value.value;
  }

  async close() {
    this.#socket?.removeAllListeners('close');
    this.#socket?.destroy();
    if (this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill();
      await Promise.race([once(this.#process, 'exit'), sleep(10_000).then(() => this.#process.kill('SIGKILL'))]);
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
