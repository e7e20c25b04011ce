// The one error class of the package. Codes and their names are those of the program
// (include/lorapress/error.h); a test compares the two tables.

export const ERROR_CODES = [
  "invalid_argument", // an option or a call that makes no sense
  "not_found", // a file that should be there
  "exists", // an output that would be overwritten (not used in the browser)
  "invalid_file", // a file whose bytes break its format or its digest
  "unsupported", // a valid file that asks for something this version cannot do
  "mismatch", // two files that do not belong together
  "io", // the network or the storage refused
  "runtime", // the engine failed, or a result was wrong
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** `message` is one line: what is wrong, where, expected against found, what to do. */
export class LorapressError extends Error {
  override readonly name: string = "LorapressError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message.replace(/\s*[\r\n]+\s*/g, " "), options);
    this.code = code;
  }
}

export function fail(code: ErrorCode, message: string, cause?: unknown): never {
  throw new LorapressError(code, message, cause === undefined ? undefined : { cause });
}

/** The message of any thrown value, in one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s*[\r\n]+\s*/g, " ").slice(0, 500);
}

/** Any error as a LorapressError; LorapressErrors and aborts pass unchanged. */
export function asLorapressError(error: unknown, code: ErrorCode, where: string): Error {
  if (error instanceof LorapressError || isAbort(error)) {
    return error as Error;
  }
  return new LorapressError(code, `${where}: ${messageOf(error)}`, { cause: error });
}

export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
