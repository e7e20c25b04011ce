// Memory that is given back at once: the garbage collector does not run while an engine runs.

let nowhere: MessagePort | undefined;

/**
 * Gives the memory of `bytes` back; nothing can be read there any more. Browsers keep memory that their own functions
 * (fetch, digests, files) have seen until the collector runs, also when ArrayBuffer.transfer() takes it from the page; what is
 * sent belongs to the receiver, and this port has none.
 */
export function freeNow({ buffer }: Uint8Array<ArrayBuffer>): void {
  if (nowhere === undefined) {
    const { port1, port2 } = new MessageChannel();
    port2.close();
    nowhere = port1;
  }
  nowhere.postMessage(undefined, [buffer]);
}
