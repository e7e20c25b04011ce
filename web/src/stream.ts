// Text in pieces, as an async generator, from a run that calls back.

/**
 * Yields what `run` hands to its callback, and returns what it resolves with. Leaving the loop stops the run, by the
 * signal of the options that it is given.
 */
export async function* streamed<
  Options extends { readonly signal?: AbortSignal | undefined },
  Found,
>(
  options: Options,
  run: (options: Options, onPiece: (piece: string) => void) => Promise<Found>,
): AsyncGenerator<string, Found, undefined> {
  const left = new AbortController();
  const { signal } = options;
  const both = signal === undefined ? left.signal : anySignal(signal, left);
  const pieces: string[] = [];
  let wake = (): void => {};
  let ended = false;
  const done = run({ ...options, signal: both }, (piece) => {
    pieces.push(piece);
    wake();
  });
  const end = (): void => {
    ended = true;
    wake();
  };
  done.then(end, end);
  try {
    for (;;) {
      const piece = pieces.shift();
      if (piece !== undefined) {
        yield piece;
      } else if (ended) {
        return await done;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    left.abort();
    await done.catch(() => {}); // a caller still iterating has already received this error from the loop above
  }
}

// Some supported browsers lack AbortSignal.any().
function anySignal(signal: AbortSignal, left: AbortController): AbortSignal {
  const both = new AbortController();
  for (const one of [signal, left.signal]) {
    if (one.aborted) {
      both.abort(one.reason);
    }
    one.addEventListener("abort", () => both.abort(one.reason), { once: true });
  }
  return both.signal;
}
