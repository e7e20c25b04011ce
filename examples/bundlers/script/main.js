import { Captioner } from "./lorapress/index.js";

async function describe(image) {
  const captioner = await Captioner.load("model/");
  const { text } = await captioner.caption(image.src);
  image.alt = text;
}
describe(document.querySelector("img"));
