// A thread of the engine's module.
"use strict";

onmessage = async ({ data: { module, memory, index, stack } }) => {
  const never = () => {
    throw new Error("a worker called its host");
  };
  const lorapress = { read: never, done: never, refused: never, now: () => performance.now() };
  const { exports } = await WebAssembly.instantiate(module, { env: { memory }, lorapress });
  exports.__stack_pointer.value = stack;
  exports.lp_worker_run(index);
};
