// A captioner over transformers.js's Auto classes, for what the pipeline does not offer: a text prompt, text as
// it comes, a signal that stops, token ids.
//
//   const captioner = await Captioner.load(await import('@huggingface/transformers'), '/models/', 'my-model');
//   const { text } = await captioner.caption('photo.jpg', { onText: show, signal, max_new_tokens: 30 });

export class Captioner {
  constructor(library, processor, tokenizer, model) {
    Object.assign(this, { library, processor, tokenizer, model });
  }

  /** `root`: where the folder `name` lies, an address or, in Node, a path; `options`: dtype, device, ... */
  static async load(library, root, name, options = {}) {
    const { env, AutoProcessor, AutoTokenizer, AutoModelForVision2Seq } = library;
    Object.assign(env, { localModelPath: root, allowLocalModels: true, allowRemoteModels: false });
    const parts = await Promise.all([
      AutoProcessor.from_pretrained(name),
      AutoTokenizer.from_pretrained(name),
      AutoModelForVision2Seq.from_pretrained(name, options),
    ]);
    return new Captioner(library, ...parts);
  }

  /** `image`: an address, a Blob or a RawImage; what else is given goes to generate(). */
  async caption(image, { prompt = '', onText, signal, ...generation } = {}) {
    const { RawImage, TextStreamer, InterruptableStoppingCriteria } = this.library;
    signal?.throwIfAborted();
    const { pixel_values } = await this.processor(await RawImage.read(image));
    const stop = new InterruptableStoppingCriteria();
    const interrupt = () => stop.interrupt();
    signal?.addEventListener('abort', interrupt);
    const given = this.#startWith(prompt);
    const streamer = onText && new TextStreamer(this.tokenizer, {
      skip_prompt: true,
      skip_special_tokens: true,
      callback_function: onText,
    });
    try {
      const rows = await this.model.generate({
        inputs: pixel_values,
        decoder_input_ids: given,
        stopping_criteria: stop,
        ...(streamer && { streamer }),
        ...generation,
      });
      signal?.throwIfAborted();
      const ids = rows.tolist()[0].map(Number).slice(given.dims[1]);
      return { ids, text: this.tokenizer.decode(ids, { skip_special_tokens: true }) };
    } finally {
      signal?.removeEventListener('abort', interrupt);
    }
  }

  /** The start token, in whose place the image goes, and the prompt behind it. */
  #startWith(prompt) {
    const text = prompt === '' ? [] : this.tokenizer.encode(prompt, { add_special_tokens: false });
    const ids = BigInt64Array.from([this.model.config.decoder_start_token_id, ...text], BigInt);
    return new this.library.Tensor('int64', ids, [1, ids.length]);
  }

  dispose() {
    return this.model.dispose();
  }
}
