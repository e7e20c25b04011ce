// Reads the fields of JSON from the network: an unexpected field is refused by name.
import { fail } from "../errors.js";
import { isObject, type JsonObject, own } from "./json.js";

export type Triple = readonly [number, number, number];

/** Reads fields of one object; every error begins with the place of the object. */
export class Fields {
  readonly where: string;
  private readonly json: JsonObject;

  constructor(json: unknown, where: string) {
    if (!isObject(json)) {
      fail("invalid_file", `${where}: not a JSON object`);
    }
    this.json = json;
    this.where = where;
  }

  get(key: string): unknown {
    return own(this.json, key);
  }

  /** An integer; JSON's 3.0 counts as one, as in the program. */
  integer(key: string, least: number, most: number): number {
    return this.bounded(key, this.get(key), least, most);
  }

  bounded(
    key: string,
    value: unknown,
    least: number,
    most: number,
    isNumber: (value: unknown) => boolean = Number.isSafeInteger,
  ): number {
    if (typeof value !== "number" || !isNumber(value) || value < least || value > most) {
      this.refuse(key, `is ${shown(value)}, expected ${least} to ${most}`);
    }
    return value;
  }

  number(key: string, value: unknown = this.get(key)): number {
    if (typeof value !== "number" || !Number.isFinite(value)) {
      this.refuse(key, "is missing or not a number");
    }
    return value;
  }

  boolean(key: string): boolean {
    const value = this.get(key);
    return typeof value === "boolean" ? value : this.refuse(key, "is missing or not a boolean");
  }

  text(key: string): string {
    const value = this.get(key);
    if (typeof value !== "string") {
      this.refuse(key, "is missing or not a text");
    }
    return value;
  }

  oneOf<T>(key: string, known: readonly T[], value: unknown = this.get(key)): T {
    const found = known.find((one) => one === value);
    return found ?? this.refuse(key, `is ${shown(value)}, expected one of ${known.join(", ")}`);
  }

  object(key: string): Fields {
    const value = this.get(key);
    return isObject(value)
      ? new Fields(value, this.where)
      : this.refuse(key, "is missing, expected an object");
  }

  /** Refuses keys that are none of `known`. */
  requireKeys(known: readonly string[]): void {
    const other = this.keys().find((key) => !known.includes(key));
    if (other !== undefined) {
      this.refuse(other.slice(0, 80), "is not known");
    }
  }

  keys(): string[] {
    return Object.keys(this.json);
  }

  list(key: string, most: number, value: unknown = this.get(key)): readonly unknown[] {
    if (!Array.isArray(value) || value.length > most) {
      this.refuse(key, `is not a list of at most ${most}`);
    }
    return value;
  }

  triple(key: string): Triple {
    const [a, b, c, ...rest] = this.list(key, 3);
    if (rest.length > 0) {
      this.refuse(key, "is not three numbers");
    }
    return [this.number(key, a), this.number(key, b), this.number(key, c)];
  }

  refuse(key: string, problem: string): never {
    fail("invalid_file", `${this.where}: "${key}" ${problem}`);
  }
}

export function shown(value: unknown): string {
  return value === undefined ? "missing" : String(JSON.stringify(value)).slice(0, 80);
}
